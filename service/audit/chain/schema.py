"""Table of the audit log, and the triggers that keep it append-only.

    g2d_audit: writer, number (primary key), time, record, hash      g2d_audit_schema: version

The triggers refuse UPDATE, DELETE and TRUNCATE, and in SQLite an insertion that replaces a row.
They guard against mistakes; whoever may drop a trigger is found by `g2d audit verify`. Table and
triggers are created only where there is no table, so that a PostgreSQL role that may read and
insert is enough from then on.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
)

from service.errors import AuditUnavailable
from service.storage.database import Purpose

VERSION = 1

PURPOSE = Purpose("the audit database", "G2D_AUDIT_URL", AuditUnavailable)

metadata = MetaData()

schema = Table(
    "g2d_audit_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

rows = Table(
    "g2d_audit",
    metadata,
    Column("writer", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", String(27), nullable=False),
    Column("record", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("g2d_audit_time", "time"),
)

_SQLITE = (
    """CREATE TRIGGER g2d_audit_update BEFORE UPDATE ON g2d_audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER g2d_audit_delete BEFORE DELETE ON g2d_audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER g2d_audit_replace BEFORE INSERT ON g2d_audit
    WHEN EXISTS (SELECT 1 FROM g2d_audit WHERE writer = NEW.writer AND number = NEW.number)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)
_POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION g2d_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER g2d_audit_change BEFORE UPDATE OR DELETE ON g2d_audit
    FOR EACH ROW EXECUTE FUNCTION g2d_audit_refuse()""",
    """CREATE TRIGGER g2d_audit_truncate BEFORE TRUNCATE ON g2d_audit
    FOR EACH STATEMENT EXECUTE FUNCTION g2d_audit_refuse()""",
)
_LOCK = 0x61756474
"""Number of the advisory lock under which tables are created, and first of those of the chains."""


def prepare(connection: Connection) -> None:
    """Create table and triggers if they are missing; several processes may do so at the same time.

    Raises:
        AuditUnavailable: the database has another version of the schema.
    """
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    if not inspect(connection).has_table(rows.name):
        metadata.create_all(connection)
        for statement in _POSTGRESQL if postgresql else _SQLITE:
            connection.exec_driver_sql(statement)
        connection.execute(insert(schema).values(version=VERSION))
    check_version(connection)


def check_version(connection: Connection) -> None:
    """Refuse a database of another release.

    Raises:
        AuditUnavailable: the database has another version of the schema.
    """
    found = connection.execute(select(schema.c.version)).scalar()
    if found != VERSION:
        raise AuditUnavailable(
            f"the audit database has schema version {found}, this release supports {VERSION}"
        )


def lock_chain(connection: Connection, writer: str) -> None:
    """Let no other transaction extend a chain; in SQLite, none can write at all."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(writer))))
