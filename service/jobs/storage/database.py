"""Database: transactions on SQLite (one file, write-ahead log) or PostgreSQL, by URL.

    with database.write() as connection: ...    commit at the end, or nothing happened
    with database.read() as connection: ...     a snapshot

SQLite: a transaction that writes takes the write lock when it begins, so that two never meet
in the middle; each commit is on disk before it returns. Calls block.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from service.errors import InvalidSettings, JobsUnavailable
from service.jobs.storage import schema

_WAIT_S = 30.0
_READING = "g2d_reading"


class Database:
    """Opens and closes transactions.

    Args:
        url: as SQLAlchemy reads it, `sqlite:///FILE` or `postgresql+psycopg://...`.
        connections: kept open at most.
    """

    def __init__(self, url: str, connections: int) -> None:
        """Check the URL; nothing is connected yet.

        Raises:
            InvalidSettings: the URL names no database that this program knows.
        """
        self._engine = _engine(url, connections)
        self._reading = self._engine.execution_options(**{_READING: True})

    def prepare(self) -> None:
        """Connect and make the tables.

        Raises:
            JobsUnavailable: the database does not answer, or is of a newer program.
        """
        with self.write() as connection:
            schema.prepare(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end.

        Raises:
            JobsUnavailable: the database does not answer.
        """
        with _unavailable(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state and changes nothing.

        Raises:
            JobsUnavailable: the database does not answer.
        """
        with _unavailable(), self._reading.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def now(connection: Connection) -> float:
    """Seconds since 1970 by the one clock that all processes share: PostgreSQL's, or the host's."""
    if connection.dialect.name == "postgresql":
        clock = func.extract("epoch", func.clock_timestamp())
        return float(connection.execute(select(clock)).scalar_one())
    return time.time()


def _engine(url: str, connections: int) -> Engine:
    try:
        name = make_url(url).get_backend_name()
        if name == "sqlite":
            engine = create_engine(
                url, pool_size=connections, max_overflow=0, connect_args={"timeout": _WAIT_S}
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
            "G2D_JOBS_URL is no database URL that can be opened; PostgreSQL is "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE and needs the extra `postgres`"
        ) from error
    raise InvalidSettings("G2D_JOBS_URL names SQLite or PostgreSQL")


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_on_begin` says
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def _unavailable() -> Iterator[None]:
    """Errors of the database in our words; a broken constraint is for the caller."""
    try:
        yield
    except DBAPIError as error:
        if type(error).__name__ == "IntegrityError":
            raise
        raise JobsUnavailable("the database of jobs does not answer") from error
    except SQLAlchemyError as error:
        raise JobsUnavailable("the database of jobs does not answer") from error
