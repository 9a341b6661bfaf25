"""Entries of the audit log, and the canonical record that their chain is made of.

    record = {"act":...,"number":3,"previous":HASH OF RECORD 2,"time":...,"writer":...}
    hash   = SHA-256 of the record's bytes

A record is a JSON object in ASCII: keys sorted, no spaces, members without a value left out. The
text is stored as it was hashed, so that no release has to write it again to check it.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

GENESIS = "0" * 64
"""Hash that the first record of a chain names as that of the record before."""
SERVICE = "service"
"""Principal of what the service does by itself."""
UNKNOWN = "unknown"
"""Principal of a request whose credential was refused."""


class Act(StrEnum):
    """Kinds of entries."""

    INFER = "infer"
    INFER_JOB_ITEM = "infer-job-item"
    SET_ALIAS = "set-alias"
    ROLL_BACK = "roll-back"
    SET_CANARY = "set-canary"
    VERSION_READY = "version-ready"
    VERSION_REFUSED = "version-refused"
    ALIAS_MOVED = "alias-moved"
    KEY_CREATED = "key-created"
    KEY_CHANGED = "key-changed"
    KEY_REVOKED = "key-revoked"
    CREDENTIAL_REFUSED = "credential-refused"
    INSTANCE_RECEIVED = "instance-received"
    RESULT_SENT = "result-sent"
    STARTED = "started"
    STOPPED = "stopped"
    RESUMED = "resumed"


@dataclass(frozen=True)
class Entry:
    """One act, without its place in a chain.

    Attributes:
        act: kind of the act.
        principal: identifier of who acted; `SERVICE` for the service itself; of a job item,
            `owner:` and the digest of the job's owner.
        request_id: identifier of the request, as in the log; of a job item, the name of its job in
            the log and its number.
        model, version, digest: version that answered or was changed, and SHA-256 of its manifest.
        alias: alias that was changed.
        key, owner: API key that was changed, `key:ID`, and the client to whom it belongs.
        tasks: tasks that were asked for.
        input_sha256: SHA-256 of the bytes of the file.
        instance: pseudonym of the SOP Instance UID.
        result_sha256: SHA-256 of the encoded answer.
        status: HTTP status of the outcome; None for a change that is about to be made.
        problem: type of the problem, if the outcome is one.
        lost: number of entries that could not be written before this one.
    """

    act: Act
    principal: str = SERVICE
    request_id: str | None = None
    model: str | None = None
    version: int | None = None
    digest: str | None = None
    alias: str | None = None
    key: str | None = None
    owner: str | None = None
    tasks: tuple[str, ...] = ()
    input_sha256: str | None = None
    instance: str | None = None
    result_sha256: str | None = None
    status: int | None = None
    problem: str | None = None
    lost: int | None = None


@dataclass(frozen=True)
class TimedEntry:
    """An entry and the time of its act, in UTC."""

    entry: Entry
    time: datetime

    @property
    def time_text(self) -> str:
        """The time as it is stored, `2026-11-30T20:15:24.000123Z`: in order also as text."""
        return time_text(self.time)


@dataclass(frozen=True)
class Row:
    """One record in its chain.

    Attributes:
        writer: chain that the record belongs to.
        number: position in the chain, from 1.
        time: time of the act.
        record: canonical text.
        hash: SHA-256 of `record`.
    """

    writer: str
    number: int
    time: str
    record: str
    hash: str


@dataclass(frozen=True)
class Head:
    """Last record of a chain: its number, 0 for none, and its hash."""

    writer: str
    number: int = 0
    hash: str = GENESIS


def time_text(time: datetime) -> str:
    """Return a time in UTC with microseconds, `2026-11-30T20:15:24.000123Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def linked(head: Head, entries: list[TimedEntry]) -> list[Row]:
    """Return entries as the next rows of a chain, each with the hash of the one before."""
    rows = []
    for timed in entries:
        number, time = head.number + 1, timed.time_text
        place = {"number": number, "previous": head.hash, "time": time, "writer": head.writer}
        record = canonical(vars(timed.entry) | place)
        head = Head(head.writer, number, digest(record))
        rows.append(Row(head.writer, number, time, record, head.hash))
    return rows


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
"""Made once: `json.dumps` makes a new one for each record."""


def canonical(members: dict[str, object]) -> str:
    """Return the canonical text of a record."""
    given = {name: value for name, value in members.items() if value is not None and value != ()}
    return _ENCODER.encode(given)


def digest(record: str) -> str:
    """Return the SHA-256 of a record, in hexadecimal."""
    return hashlib.sha256(record.encode()).hexdigest()
