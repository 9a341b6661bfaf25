"""Verification of chains: altered, removed, reordered, replaced and cut-off records are found.

    rows of a chain --> hash of the record, its place, its link to the row before --> faults
    heads that were exported before --> the same records must still be there

A chain alone does not show that its last records were removed, or that all of it was written anew
by somebody who may drop the triggers. Heads that were exported to another place show both.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from service.audit.chain.entry import Head, Row, digest


@dataclass(frozen=True)
class Fault:
    """A record that is not as it was written.

    Attributes:
        writer: its chain.
        number: its position in the chain.
        reason: what is wrong with it.
    """

    writer: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.writer} record {self.number}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """Result of a verification.

    Attributes:
        records: number of records that were read.
        heads: last record of every chain.
        faults: every fault, in the order of the chains.
    """

    records: int
    heads: tuple[Head, ...]
    faults: tuple[Fault, ...]


def verify(rows: Iterable[Row], exported: Iterable[Head] = ()) -> Verdict:
    """Verify whole chains.

    Args:
        rows: every record of every chain, ordered by chain and number.
        exported: heads that were exported earlier.
    """
    expected = {(head.writer, head.number): head for head in exported}
    heads: dict[str, Head] = {}
    faults: list[Fault] = []
    records = 0
    for row in rows:
        records += 1
        before = heads.get(row.writer, Head(row.writer))
        faults += [Fault(row.writer, row.number, text) for text in _faults(row, before)]
        heads[row.writer] = Head(row.writer, row.number, row.hash)
        head = expected.pop((row.writer, row.number), None)
        if head is not None and head.hash != row.hash:
            faults.append(Fault(row.writer, row.number, "it is not the record that was exported"))
    faults += [
        Fault(head.writer, head.number, "it was exported as a head and is missing")
        for head in expected.values()
    ]
    return Verdict(records, tuple(heads.values()), tuple(faults))


def _faults(row: Row, before: Head) -> list[str]:
    found = []
    if digest(row.record) != row.hash:
        found.append("its text was altered: the hash does not match")
    members = _members(row.record)
    if [members.get(name) for name in ("writer", "number", "time")] != [
        row.writer,
        row.number,
        row.time,
    ]:
        found.append("its place was altered: writer, number or time differ from its text")
    if row.number != before.number + 1:
        found.append(f"records before it are missing: the one before is {before.number}")
    elif members.get("previous") != before.hash:
        found.append("it does not follow the record before: one of the two was replaced or moved")
    return found


def _members(record: str) -> dict[str, Any]:
    try:
        members = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}
