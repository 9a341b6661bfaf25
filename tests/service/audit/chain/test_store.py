"""The store, on SQLite and on a real PostgreSQL: append-only, in order, in chains."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from service.audit.chain.entry import Act, Entry, Head, TimedEntry
from service.audit.chain.store import AuditStore, create_file
from service.audit.chain.verification import verify
from service.errors import AuditUnavailable, InvalidSettings
from tests.service.audit.conftest import OpenStore


def entries(*request_ids: str, day: int = 1) -> list[TimedEntry]:
    time = datetime(2026, 11, day, tzinfo=UTC)
    return [TimedEntry(Entry(Act.INFER, request_id=name), time) for name in request_ids]


@pytest.fixture
def engine(audit_url: str) -> Iterator[Engine]:
    """A connection that knows nothing of the rules of the log."""
    made = create_engine(audit_url)
    yield made
    made.dispose()


def test_entries_are_read_in_the_order_in_which_they_were_written(open_store: OpenStore) -> None:
    store = open_store()
    store.append("a", entries("1", "2"))
    written = store.append("a", entries("3"))
    assert [row.number for row in written] == [3]
    rows = list(store.rows())
    assert [row.number for row in rows] == [1, 2, 3]
    assert ['"request_id":"3"' in row.record for row in rows] == [False, False, True]
    assert store.heads() == [Head("a", 3, rows[2].hash)]
    assert verify(rows).faults == ()


def test_processes_extend_one_chain_in_turns(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda i: stores[i % 4].append("a", entries("x", "y")), range(20)):
            pass
    verdict = verify(stores[0].rows())
    assert (verdict.records, verdict.faults) == (40, ())


def test_every_writer_has_a_chain_of_its_own(open_store: OpenStore) -> None:
    store = open_store()
    store.append("b", entries("1"))
    store.append("a", entries("2", "3"))
    assert [(row.writer, row.number) for row in store.rows()] == [("a", 1), ("a", 2), ("b", 1)]
    assert [(head.writer, head.number) for head in store.heads()] == [("a", 2), ("b", 1)]


def test_rows_are_selected_by_their_time(open_store: OpenStore) -> None:
    store = open_store()
    for day in (1, 2, 3):
        store.append("a", entries(str(day), day=day))
    chosen = store.rows("2026-11-02T00:00:00.000000Z", "2026-11-03T00:00:00.000000Z")
    assert [row.number for row in chosen] == [2]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE g2d_audit SET record = 'x'",
        "DELETE FROM g2d_audit WHERE number = 2",
        "INSERT INTO g2d_audit VALUES ('a', 1, 't', 'r', 'h')",
    ],
)
def test_the_database_refuses_changes(
    open_store: OpenStore, engine: Engine, statement: str
) -> None:
    store = open_store()
    store.append("a", entries("1", "2"))
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text(statement))
    assert verify(store.rows()).records == 2


def test_sqlite_refuses_to_replace_a_row(store: AuditStore, tmp_path: Path) -> None:
    store.append("a", entries("1"))
    engine = create_engine(f"sqlite:///{tmp_path / 'audit.sqlite'}")
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("INSERT OR REPLACE INTO g2d_audit VALUES ('a', 1, 't', 'r', 'h')"))
    engine.dispose()


def test_postgresql_refuses_truncation(empty_postgres: str) -> None:
    store, engine = AuditStore(empty_postgres), create_engine(empty_postgres)
    store.append("a", entries("1"))
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("TRUNCATE g2d_audit"))
    engine.dispose()
    store.close()


def test_a_role_that_may_read_and_insert_is_enough(empty_postgres: str) -> None:
    owner, engine = AuditStore(empty_postgres), create_engine(empty_postgres)
    owner.append("a", entries("1"))
    with engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS auditor",
            "CREATE ROLE auditor LOGIN",
            "GRANT USAGE ON SCHEMA public TO auditor",
            "GRANT SELECT, INSERT ON g2d_audit TO auditor",
            "GRANT SELECT ON g2d_audit_schema TO auditor",
        ):
            connection.execute(text(statement))
    other = AuditStore(empty_postgres.replace("g2d@", "auditor@"))
    assert other.append("a", entries("2"))[0].number == 2
    for made in (owner, other):
        made.close()
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY auditor"))
        connection.execute(text("DROP ROLE auditor"))
    engine.dispose()


def test_a_log_that_was_removed_is_begun_anew(store: AuditStore, tmp_path: Path) -> None:
    store.append("a", entries("1"))
    for file in tmp_path.glob("audit.sqlite*"):
        file.unlink()
    with pytest.raises(AuditUnavailable, match="was removed"):
        store.append("a", entries("2"))
    (row,) = store.append("a", entries("3"))
    assert (row.number, verify(store.rows()).faults) == (1, ())


def test_the_file_is_its_owners_alone(store: AuditStore, tmp_path: Path) -> None:
    store.append("a", entries("1"))
    for file in tmp_path.glob("audit.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_log_of_another_release_is_refused(open_store: OpenStore, engine: Engine) -> None:
    open_store().append("a", entries("1"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE g2d_audit_schema SET version = 2"))
    with pytest.raises(AuditUnavailable, match="schema version 2"):
        open_store().append("a", entries("2"))


def test_a_database_without_a_log_is_unavailable(open_store: OpenStore) -> None:
    with pytest.raises(AuditUnavailable, match="does not answer"):
        open_store().heads()


def test_a_file_that_cannot_be_made_is_an_invalid_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_FILE"):
        create_file(tmp_path / "file" / "audit.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_FILE"):
        create_file(tmp_path / "folder")
