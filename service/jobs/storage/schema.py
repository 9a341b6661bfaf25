"""Tables of the job database, and the version of this schema.

    jobs 1 --- n items 1 --- 0..1 results          schema: one row with the version

Times are seconds since 1970, UTC. SQLite and PostgreSQL have the same tables.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    text,
    update,
)

from service.errors import JobsUnavailable, StorageFull
from service.storage.database import Purpose

VERSION = 3

metadata = MetaData()

schema = Table(
    "g2d_schema",
    metadata,
    Column("only", Integer, primary_key=True),  # always 1: the table has one row
    Column("version", Integer, nullable=False),
)

jobs = Table(
    "g2d_jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("idempotency_key", String(64), unique=True),
    Column("fingerprint", String(64), nullable=False),
    Column("question", Text, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("served", Double, nullable=False),  # time of the latest claim: jobs take turns
    Column("started", Double),
    Column("finished", Double),
    Column("expires", Double),
    Column("owner", String(64)),  # digest of the principal's owner; NULL for anonymous clients
    Index("g2d_jobs_turn", "finished", "served"),
    Index("g2d_jobs_expires", "expires"),
)

items = Table(
    "g2d_items",
    metadata,
    Column("job", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("deflated", Boolean, nullable=False),
    Column("crc", BigInteger),
    Column("media_type", String(64), nullable=False),
    Column("label", String(80)),
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),  # queued: earliest claim; running: end of the lease
    Column("token", String(32)),
    Column("started", Double),
    Column("finished", Double),
    Column("sha256", String(64)),
    Column("problem", Text),
    Index("g2d_items_open", "job", "state", "number"),
)

results = Table(
    "g2d_results",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("json", LargeBinary, nullable=False),  # zlib
    Column("overlay", LargeBinary),  # PNG
    Column("objects", LargeBinary),  # zip file of DICOM files
    ForeignKeyConstraint(["job", "number"], [items.c.job, items.c.number], ondelete="CASCADE"),
)


def prepare(connection: Connection) -> None:
    """Create missing tables and upgrade old ones; several processes may do so at the same time.

    Raises:
        JobsUnavailable: the database has another version of the schema.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(0x673264)))
    metadata.create_all(connection)
    found = connection.execute(select(schema.c.version)).scalar()
    if found in (1, 2):
        if found == 1:
            connection.execute(text("ALTER TABLE g2d_jobs ADD COLUMN owner VARCHAR(64)"))
        kind = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
        connection.execute(text(f"ALTER TABLE g2d_results ADD COLUMN objects {kind}"))
        connection.execute(update(schema).values(version=VERSION))
    elif found is None:
        connection.execute(insert(schema).values(only=1, version=VERSION))
    elif found != VERSION:
        raise JobsUnavailable(
            f"the job database has schema version {found}, this release supports {VERSION}"
        )


PURPOSE = Purpose("the job database", "G2D_JOBS_URL", JobsUnavailable, StorageFull, prepare)
