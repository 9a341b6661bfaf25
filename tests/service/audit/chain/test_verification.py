"""Every way to tamper with a chain is found, and named."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.audit.chain.entry import Act, Entry, Head, Row, TimedEntry, linked
from service.audit.chain.store import AuditStore
from service.audit.chain.verification import verify

TIMED = [
    TimedEntry(Entry(Act.INFER, request_id=str(n)), datetime(2026, 11, n, tzinfo=UTC))
    for n in range(1, 6)
]
ROWS = linked(Head("w"), TIMED)
HEAD = Head("w", 5, ROWS[4].hash)


def altered(rows: list[Row]) -> list[Row]:
    changed = replace(rows[2], record=rows[2].record.replace('"3"', '"9"'))
    return [*rows[:2], changed, *rows[3:]]


def rehashed(rows: list[Row]) -> list[Row]:
    """An altered row with the hash of its new text: its follower still names the old one."""
    text = altered(rows)[2].record
    (alone,) = linked(Head("w", 2, rows[1].hash), [replace(TIMED[2], entry=Entry(Act.STARTED))])
    assert alone.record != text
    return [*rows[:2], alone, *rows[3:]]


def renumbered(rows: list[Row]) -> list[Row]:
    moved = [replace(row, number=row.number - 1) for row in rows[3:]]
    return [*rows[:2], *moved]


TAMPERED: dict[str, tuple[Callable[[list[Row]], list[Row]], int, str]] = {
    "altered": (altered, 3, "hash does not match"),
    "altered and hashed again": (rehashed, 4, "does not follow"),
    "removed": (lambda rows: rows[:2] + rows[3:], 4, "records before it are missing"),
    "removed at the start": (lambda rows: rows[1:], 2, "records before it are missing"),
    "removed and numbered again": (renumbered, 3, "place was altered"),
    "reordered": (
        lambda rows: [
            *rows[:1],
            replace(rows[2], number=2),
            replace(rows[1], number=3),
            *rows[3:],
        ],
        2,
        "does not follow",
    ),
    "dated back": (
        lambda rows: [*rows[:4], replace(rows[4], time=rows[0].time)],
        5,
        "place was altered",
    ),
    "text that is no record": (
        lambda rows: [*rows[:4], replace(rows[4], record="[" * 100_000)],
        5,
        "hash does not match",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_chain_that_was_tampered_with_is_found(name: str) -> None:
    tamper, number, reason = TAMPERED[name]
    faults = verify(tamper(list(ROWS))).faults
    assert any(fault.number == number and reason in fault.reason for fault in faults), faults


def test_a_sound_chain_has_no_fault_and_ends_in_its_head() -> None:
    verdict = verify(ROWS, [HEAD, Head("w", 2, ROWS[1].hash)])
    assert (verdict.records, verdict.heads, verdict.faults) == (5, (HEAD,), ())


@pytest.mark.parametrize("left", [0, 4])
def test_removal_at_the_end_is_found_with_an_exported_head(left: int) -> None:
    assert verify(ROWS[:left]).faults == ()
    (fault,) = verify(ROWS[:left], [HEAD]).faults
    assert str(fault) == "w record 5: it was exported as a head and is missing"


def test_a_chain_that_was_written_anew_is_found_with_an_exported_head() -> None:
    anew = linked(Head("w"), [replace(TIMED[0], entry=Entry(Act.STARTED)), *TIMED[1:]])
    assert verify(anew).faults == ()
    (fault,) = verify(anew, [HEAD]).faults
    assert "not the record that was exported" in fault.reason


def test_changes_to_the_file_itself_are_found(store: AuditStore, tmp_path: Path) -> None:
    store.append("w", TIMED)
    store.close()
    with sqlite3.connect(tmp_path / "audit.sqlite") as connection:
        connection.execute("DROP TRIGGER g2d_audit_update")
        connection.execute("UPDATE g2d_audit SET record = replace(record, '\"3\"', '\"9\"')")
    connection.close()
    (fault,) = verify(AuditStore(f"sqlite:///{tmp_path / 'audit.sqlite'}").rows()).faults
    assert (fault.number, "altered" in fault.reason) == (3, True)
