"""The canonical record of an entry: its text and hash never change between releases."""

import hashlib
from datetime import UTC, datetime

from service.audit.chain.entry import GENESIS, Act, Entry, Head, TimedEntry, linked

TIME = datetime(2026, 11, 30, 20, 15, 24, 123, UTC)
INFERENCE = Entry(
    Act.INFER,
    principal="key:7",
    request_id="r-1",
    model="tiny",
    version=3,
    tasks=("segment", "classify"),
    input_sha256="ab",
    status=200,
)
RECORD = (
    '{"act":"infer","input_sha256":"ab","model":"tiny","number":1,"previous":"' + "0" * 64 + '",'
    '"principal":"key:7","request_id":"r-1","status":200,"tasks":["segment","classify"],'
    '"time":"2026-11-30T20:15:24.000123Z","version":3,"writer":"host-1"}'
)


def test_a_record_is_sorted_json_without_spaces_and_empty_members() -> None:
    (row,) = linked(Head("host-1"), [TimedEntry(INFERENCE, TIME)])
    assert row.record == RECORD
    assert row.hash == hashlib.sha256(RECORD.encode()).hexdigest()
    assert (row.writer, row.number, row.time) == ("host-1", 1, "2026-11-30T20:15:24.000123Z")


def test_a_record_holds_the_hash_of_the_one_before() -> None:
    first, second = linked(Head("w"), [TimedEntry(INFERENCE, TIME)] * 2)
    assert f'"previous":"{GENESIS}"' in first.record
    assert f'"previous":"{first.hash}"' in second.record
    (third,) = linked(Head("w", 2, second.hash), [TimedEntry(INFERENCE, TIME)])
    assert third.number == 3
    assert f'"previous":"{second.hash}"' in third.record


def test_a_record_is_one_line_of_ascii() -> None:
    entry = Entry(Act.SET_ALIAS, principal="oidc:Zoë\n\u2028")
    (row,) = linked(Head("w"), [TimedEntry(entry, TIME)])
    assert row.record.isascii()
    assert row.record.isprintable()
