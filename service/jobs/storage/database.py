"""Database transactions on SQLite (one file, write-ahead log) or PostgreSQL, chosen by URL.

    with database.write() as connection: ...    committed at the end, rolled back on an error
    with database.read() as connection: ...     one consistent snapshot

In SQLite, a writing transaction takes the write lock when it begins, so that two of them cannot
deadlock; each commit is on disk before it returns. Calls block.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from service.errors import InvalidSettings, JobsUnavailable
from service.jobs.storage import schema

_LOCK_TIMEOUT_S = 30.0
_READ_ONLY = "g2d_read_only"


class Database:
    """Transactions on one database.

    Args:
        url: SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
        connections: largest number of open connections.
    """

    def __init__(self, url: str, connections: int) -> None:
        """Check the URL; no connection is opened yet.

        Raises:
            InvalidSettings: the URL names no supported database.
        """
        self._engine = _engine(url, connections)
        self._read_engine = self._engine.execution_options(**{_READ_ONLY: True})

    def prepare(self) -> None:
        """Connect and create the tables.

        Raises:
            JobsUnavailable: the database does not answer, or has the schema of a newer release.
        """
        with self.write() as connection:
            schema.prepare(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the context.

        Raises:
            JobsUnavailable: the database does not answer.
        """
        with _unavailable(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction on one consistent snapshot.

        Raises:
            JobsUnavailable: the database does not answer.
        """
        with _unavailable(), self._read_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def now(connection: Connection) -> float:
    """Return seconds since 1970 by the clock that all processes share: database's or host's."""
    if connection.dialect.name == "postgresql":
        clock = func.extract("epoch", func.clock_timestamp())
        return float(connection.execute(select(clock)).scalar_one())
    return time.time()


def _engine(url: str, connections: int) -> Engine:
    try:
        name = make_url(url).get_backend_name()
        if name == "sqlite":
            engine = create_engine(
                url,
                pool_size=connections,
                max_overflow=0,
                connect_args={"timeout": _LOCK_TIMEOUT_S},
            )
            event.listen(engine, "connect", _on_connect)
            event.listen(engine, "begin", _on_begin)
            return engine
        if name == "postgresql":
            return create_engine(
                url, pool_size=connections, max_overflow=0, pool_pre_ping=True, hide_parameters=True
            )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InvalidSettings(
            "G2D_JOBS_URL is not a usable database URL; PostgreSQL needs the extra `postgres` and "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from error
    raise InvalidSettings("G2D_JOBS_URL must name SQLite or PostgreSQL")


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_on_begin` begins the transactions
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turn database errors into `JobsUnavailable`; violated constraints are for the caller."""
    try:
        yield
    except DBAPIError as error:
        if type(error).__name__ == "IntegrityError":
            raise
        raise JobsUnavailable("the job database does not answer") from error
    except SQLAlchemyError as error:
        raise JobsUnavailable("the job database does not answer") from error
