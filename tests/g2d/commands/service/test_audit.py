"""`g2d audit`: what it prints of a sound log, and how it names what is wrong with another one."""

import hashlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.audit.chain.entry import Act, Entry, TimedEntry
from service.audit.chain.store import AuditStore, create_file
from tests.builders.g2d.command_line import failed, g2d


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three records, one a day."""
    store = AuditStore(create_file(tmp_path / "audit.sqlite"))
    for day in (1, 2, 3):
        time = datetime(2026, 11, day, tzinfo=UTC)
        store.append("w", [TimedEntry(Entry(Act.INFER, request_id=f"r{day}"), time)])
    store.close()
    return tmp_path / "audit.sqlite"


def tamper(log: Path, statement: str) -> None:
    connection = sqlite3.connect(log)
    for trigger in ("update", "delete"):
        connection.execute(f"DROP TRIGGER g2d_audit_{trigger}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_log_has_no_fault(log: Path) -> None:
    result = g2d("audit", "verify", "--file", str(log))
    assert (result.exit_code, result.stdout) == (0, "3 records in 1 chains: no fault\n")


def test_an_altered_record_is_named(log: Path) -> None:
    tamper(log, "UPDATE g2d_audit SET record = replace(record, 'r2', 'r9')")
    result = g2d("audit", "verify", "--file", str(log))
    assert result.exit_code == 5
    fault, error = result.stderr.splitlines()
    assert fault.startswith("w record 2: its text was altered")
    assert error == "g2d: error: 1 faults in 3 records"


def test_records_that_were_cut_off_are_found_with_the_heads(log: Path, tmp_path: Path) -> None:
    heads = tmp_path / "heads.jsonl"
    heads.write_text(g2d("audit", "head", "--file", str(log)).stdout)
    assert json.loads(heads.read_text())["number"] == 3
    assert g2d("audit", "verify", "--file", str(log), "--head", str(heads)).exit_code == 0
    tamper(log, "DELETE FROM g2d_audit WHERE number = 3")
    assert g2d("audit", "verify", "--file", str(log)).exit_code == 0
    result = g2d("audit", "verify", "--file", str(log), "--head", str(heads))
    assert result.exit_code == 5
    assert "w record 3: it was exported as a head and is missing" in result.stderr


def test_records_are_exported_by_their_time(log: Path) -> None:
    result = g2d("audit", "export", "--file", str(log), "--since", "2026-11-02")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [json.loads(row["record"])["request_id"] for row in rows] == ["r2", "r3"]
    assert all(hashlib.sha256(row["record"].encode()).hexdigest() == row["hash"] for row in rows)
    result = g2d("audit", "export", "--file", str(log), "--until", "2026-11-01T00:00:01")
    assert len(result.stdout.splitlines()) == 1


def test_a_log_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    failed(g2d("audit", "verify", "--file", str(tmp_path / "none")), "no such file")
    assert not (tmp_path / "none").exists()
    failed(g2d("audit", "head"), "--file or --url")
    (tmp_path / "text").write_text("no database")
    failed(g2d("audit", "export", "--file", str(tmp_path / "text")), "does not answer", 5)


@pytest.mark.parametrize("text", ["x", '{"writer": "w"}', '{"writer": 1, "number": 1, "hash": ""}'])
def test_a_file_without_heads_is_refused(log: Path, tmp_path: Path, text: str) -> None:
    heads = tmp_path / "heads.jsonl"
    heads.write_text(text)
    result = g2d("audit", "verify", "--file", str(log), "--head", str(heads))
    failed(result, "line 1 is no head", 3)
