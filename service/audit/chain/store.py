"""Store of the audit log: appends entries to a chain, and reads chains in order. Calls block."""

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, bindparam, func, insert, select

from service.audit.chain import schema
from service.audit.chain.entry import Head, Row, TimedEntry, linked
from service.errors import AuditUnavailable, InvalidSettings
from service.storage.database import Database

_PAGE = 1000
_COLUMNS = (
    schema.rows.c.writer,
    schema.rows.c.number,
    schema.rows.c.time,
    schema.rows.c.record,
    schema.rows.c.hash,
)
_LAST = (
    select(schema.rows.c.writer, schema.rows.c.number, schema.rows.c.hash)
    .where(schema.rows.c.writer == bindparam("writer"))
    .order_by(schema.rows.c.number.desc())
    .limit(1)
)
_INSERT = insert(schema.rows)
"""Statements of every transaction, composed once."""
_SQLITE_LAST = (
    "SELECT writer, number, hash FROM g2d_audit WHERE writer = ? ORDER BY number DESC LIMIT 1"
)
_SQLITE_INSERT = "INSERT INTO g2d_audit VALUES (:writer, :number, :time, :record, :hash)"
"""The same for the driver of SQLite."""


class AuditStore:
    """Chains of records in a database. Safe to call from several threads and processes.

    Args:
        url: SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str) -> None:
        """Check the URL; no connection is opened yet.

        Raises:
            InvalidSettings: the URL names no supported database.
        """
        self._database = Database(url, 1, schema.PURPOSE)
        self._prepared = False

    def append(self, writer: str, entries: list[TimedEntry]) -> list[Row]:
        """Append entries to a chain in one transaction, which is on disk when this returns.

        Raises:
            AuditUnavailable: the database does not answer, or is one of another release.
        """
        try:
            if self._prepared and not self._database.remote:
                return self._append_plain(writer, entries)
            return self._append(writer, entries)
        except AuditUnavailable:
            self._prepared = False  # the tables may have gone with their file
            raise

    def _append(self, writer: str, entries: list[TimedEntry]) -> list[Row]:
        """Append entries to a chain, and make the tables first if they may be missing."""
        with self._database.write() as connection:
            if not self._prepared:
                schema.prepare(connection)
            schema.lock_chain(connection, writer)
            rows = linked(_head(connection, writer), entries)
            connection.execute(_INSERT, [vars(row) for row in rows])
        self._prepared = True
        return rows

    def _append_plain(self, writer: str, entries: list[TimedEntry]) -> list[Row]:
        """Append entries to a chain in SQLite, whose tables are there."""
        with self._database.write_plain() as cursor:
            found = cursor.execute(_SQLITE_LAST, (writer,)).fetchone()
            rows = linked(Head(writer) if found is None else Head(*found), entries)
            cursor.executemany(_SQLITE_INSERT, [vars(row) for row in rows])
        return rows

    def heads(self) -> list[Head]:
        """Return the last record of every chain.

        Raises:
            AuditUnavailable: the database does not answer, or holds no audit log.
        """
        table = schema.rows.c
        last = select(table.writer, func.max(table.number)).group_by(table.writer)
        with self._database.read() as connection:
            schema.check_version(connection)
            writers = [writer for writer, _ in connection.execute(last.order_by(table.writer))]
            return [_head(connection, writer) for writer in writers]

    def rows(self, since: str | None = None, until: str | None = None) -> Iterator[Row]:
        """Yield the records of every chain in order.

        Args:
            since, until: times as they are stored; records from the first, and before the second.

        Raises:
            AuditUnavailable: the database does not answer, or holds no audit log.
        """
        with self._database.read() as connection:
            schema.check_version(connection)
            table = schema.rows.c
            statement = select(*_COLUMNS).order_by(table.writer, table.number)
            if since is not None:
                statement = statement.where(table.time >= since)
            if until is not None:
                statement = statement.where(table.time < until)
            for row in connection.execute(statement, execution_options={"yield_per": _PAGE}):
                yield Row(*row)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


def create_file(file: Path) -> str:
    """Create the file of an SQLite log, readable and writable by its owner only; return its URL.

    Raises:
        InvalidSettings: the file cannot be created or opened.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise InvalidSettings(f"G2D_AUDIT_FILE: {error.strerror}") from error
    return f"sqlite:///{file.absolute()}"


def _head(connection: Connection, writer: str) -> Head:
    found = connection.execute(_LAST, {"writer": writer}).one_or_none()
    return Head(writer) if found is None else Head(*found)
