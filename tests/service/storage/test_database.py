"""The database of a purpose: its errors, and what becomes of its file."""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import Connection

from service.errors import InvalidSettings, JobsUnavailable, StorageFull
from service.storage.database import Database, Purpose


def _prepare(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS notes (text TEXT)")


PURPOSE = Purpose("the test database", "G2D_TEST_URL", JobsUnavailable, StorageFull, _prepare)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "private" / "test.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{file}", 2, PURPOSE)
    yield made
    made.close()


class Write(Protocol):
    """Writes a note; `meanwhile` is called before it is committed."""

    def __call__(
        self, database: Database, text: str, meanwhile: Callable[[], object] | None = None
    ) -> None: ...


def write_composed(
    database: Database, text: str, meanwhile: Callable[[], object] | None = None
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO notes VALUES (?)", (text,))
        if meanwhile is not None:
            meanwhile()


def write_plain(
    database: Database, text: str, meanwhile: Callable[[], object] | None = None
) -> None:
    with database.write_plain() as cursor:
        cursor.execute("INSERT INTO notes VALUES (?)", (text,))
        if meanwhile is not None:
            meanwhile()


@pytest.fixture(params=[write_composed, write_plain])
def write(request: pytest.FixtureRequest) -> Write:
    chosen: Write = request.param
    return chosen


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.exec_driver_sql("SELECT text FROM notes").scalars())


def test_the_files_of_a_database_are_private(database: Database, write: Write, file: Path) -> None:
    file.parent.mkdir()
    file.touch(0o644)  # as an earlier release left it
    write(database, "a")
    files = list(file.parent.iterdir())
    assert {path.name for path in files} == {f"test.sqlite{end}" for end in ("", "-wal", "-shm")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_transaction_that_breaks_off_leaves_nothing_and_the_next_is_written(
    database: Database, write: Write
) -> None:
    with pytest.raises(ZeroDivisionError):
        write(database, "broken off", lambda: 1 // 0)
    write(database, "kept")
    assert notes(database) == ["kept"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_removed_database_is_noticed_and_made_again(
    database: Database, write: Write, file: Path, *, folder: bool
) -> None:
    write(database, "lost")
    shutil.rmtree(file.parent) if folder else file.unlink()
    with pytest.raises(JobsUnavailable, match="was removed"):
        write(database, "refused")
    write(database, "kept")
    assert notes(database) == ["kept"]
    again = Database(f"sqlite:///{file}", 1, PURPOSE)
    assert notes(again) == ["kept"]
    again.close()


def test_a_commit_into_a_removed_file_is_refused(
    database: Database, write: Write, file: Path
) -> None:
    write(database, "before")
    with pytest.raises(JobsUnavailable):
        write(database, "lost", file.unlink)
    assert notes(database) == []


def test_a_commit_is_refused_also_if_another_caller_made_the_file_again(
    database: Database, write: Write, file: Path
) -> None:
    def made_again() -> None:
        file.unlink()
        with pytest.raises(JobsUnavailable):
            notes(database)
        assert notes(database) == []

    write(database, "before")
    with pytest.raises(JobsUnavailable):
        write(database, "lost", made_again)


def test_a_replaced_database_is_noticed_and_the_new_one_is_used(
    database: Database, write: Write, file: Path, tmp_path: Path
) -> None:
    other = Database(f"sqlite:///{tmp_path / 'other.sqlite'}", 1, PURPOSE)
    write(other, "restored")
    other.close()
    write(database, "before")
    (tmp_path / "other.sqlite").rename(file)
    with pytest.raises(JobsUnavailable, match="was removed"):
        notes(database)
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    assert notes(database) == ["restored"]


def test_a_full_database_is_told_apart_and_stays_usable(database: Database, write: Write) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 5")
    with pytest.raises(StorageFull):
        write(database, "x" * 100_000)
    write(database, "small")
    assert notes(database) == ["small"]


def test_a_damaged_database_is_unavailable_and_left_as_it_is(
    database: Database, file: Path
) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(JobsUnavailable):
        notes(database)
    assert file.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "postgresql+nothing://x/y", "redis://x"]
)
def test_a_url_of_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="G2D_TEST_URL"):
        Database(url, 1, PURPOSE)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    pytest.importorskip("psycopg")
    database = Database("postgresql+psycopg://g2d:word@127.0.0.1:1/none", 1, PURPOSE)
    with pytest.raises(JobsUnavailable, match="the test database") as error, database.write():
        raise AssertionError("connected")
    assert "word" not in str(error.value)
    database.close()
