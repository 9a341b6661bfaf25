"""Database transactions on SQLite (one file, write-ahead log) or PostgreSQL, chosen by URL.

    with database.write() as connection: ...    committed at the end, rolled back on an error
    with database.read() as connection: ...     one consistent snapshot

Jobs and the audit log have a database each. Its purpose says which error callers get when it does
not answer, and which setting holds its URL.

In SQLite, a writing transaction takes the write lock when it begins, so that two of them cannot
deadlock; each commit is on disk before it returns. A file that was removed or replaced while it was
open is noticed before and after each transaction; the next one makes a new file. Calls block.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Cursor
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from service.errors import InvalidSettings, ServiceError
from service.storage.sqlite_file import SqliteFile

logger = logging.getLogger("g2d.database")

_LOCK_TIMEOUT_S = 30.0
_READ_ONLY = "g2d_read_only"


@dataclass(frozen=True)
class Purpose:
    """Use of a database, as errors name it.

    Attributes:
        name: the database, such as `the job database`.
        setting: environment variable that holds its URL.
        unavailable: error that is raised when the database does not answer.
        full: error that is raised when its disk is full; by default, `unavailable`.
        prepare: called in a transaction of its own whenever a database was opened, to make tables.
    """

    name: str
    setting: str
    unavailable: type[ServiceError]
    full: type[ServiceError] | None = None
    prepare: Callable[[Connection], None] | None = None


class Database:
    """Transactions on one database.

    Args:
        url: SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
        connections: largest number of open connections.
        purpose: use of the database.
    """

    def __init__(self, url: str, connections: int, purpose: Purpose) -> None:
        """Check the URL; no connection is opened yet.

        Raises:
            InvalidSettings: the URL names no supported database.
        """
        self._purpose = purpose
        self._engine = _engine(url, connections, purpose.setting)
        self._read_engine = self._engine.execution_options(**{_READ_ONLY: True})
        self._file = _file(self._engine)
        self._opening = threading.Lock()
        self._opened = False
        self._losses = 0

    @property
    def remote(self) -> bool:
        """Return whether a transaction that failed may have been committed by a server."""
        return self._engine.dialect.name != "sqlite"

    def open(self) -> int:
        """Open the database unless it is open, and make its file and tables where they are missing.

        Returns:
            Number of files that were lost so far.

        Raises:
            ServiceError: the database does not answer; of the class that the purpose names.
        """
        with self._opening:
            if self._opened:
                self._check_file()
            else:
                with self._answering():
                    if self._file is not None:
                        self._file.open()
                    if self._purpose.prepare is not None:
                        with self._engine.begin() as connection:
                            self._purpose.prepare(connection)
                self._opened = True
            return self._losses

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the context.

        Raises:
            ServiceError: the database does not answer; of the class that the purpose names.
        """
        losses = self.open()
        with self._answering(), self._engine.begin() as connection:
            yield connection
        if self.open() != losses:  # another caller noticed the loss
            raise self._lost()

    @contextmanager
    def write_plain(self) -> Iterator[Cursor]:
        """Open a transaction as `write` does, of the driver's own statements; SQLite only.

        Composing a statement and its result costs ten times what SQLite takes for a short one,
        which shows where every request has a transaction.

        Raises:
            ServiceError: the database does not answer; of the class that the purpose names.
        """
        losses = self.open()
        with self._answering(), closing(self._engine.raw_connection()) as pooled:
            cursor = pooled.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            yield cast(Cursor, cursor)
            cursor.execute("COMMIT")  # without it, the pool rolls the transaction back
        if self.open() != losses:
            raise self._lost()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction on one consistent snapshot.

        Raises:
            ServiceError: the database does not answer; of the class that the purpose names.
        """
        self.open()
        with self._answering(), self._read_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _check_file(self) -> None:
        """Raise the error of the purpose if the file is no longer the one that was opened."""
        if self._file is None or self._file.is_current():
            return
        self._opened = False
        self._losses += 1
        self._engine.dispose()
        logger.error("%s was removed or replaced while it was open", self._purpose.name)
        raise self._lost()

    def _lost(self) -> ServiceError:
        return self._purpose.unavailable(f"{self._purpose.name} was removed; a new one is made")

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn database errors into that of the purpose; violated constraints are the caller's."""
        name, unavailable = self._purpose.name, self._purpose.unavailable
        try:
            yield
        except OSError as error:
            raise unavailable(f"the file of {name} cannot be used") from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            if isinstance(error, (IntegrityError, sqlite3.IntegrityError)):
                raise
            if self._purpose.full is not None and _is_full(error):
                raise self._purpose.full(f"not enough disk space for {name}") from error
            raise unavailable(f"{name} does not answer") from error


def now(connection: Connection) -> float:
    """Return seconds since 1970 by the clock that all processes share: database's or host's."""
    if connection.dialect.name == "postgresql":
        clock = func.extract("epoch", func.clock_timestamp())
        return float(connection.execute(select(clock)).scalar_one())
    return time.time()


def _file(engine: Engine) -> SqliteFile | None:
    """Return the file of an SQLite database, or None if it has none."""
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path.startswith((":memory:", "file:")):
        return None
    return SqliteFile(Path(path).absolute())


def _is_full(error: SQLAlchemyError | sqlite3.Error) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _engine(url: str, connections: int, setting: str) -> Engine:
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
            f"{setting} is not a usable database URL; PostgreSQL needs the extra `postgres` and "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from error
    raise InvalidSettings(f"{setting} must name SQLite or PostgreSQL")


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_on_begin` begins the transactions
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
