"""The trail: entries in groups, answers that wait for them, a store that fails and comes back."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from service.audit.chain.entry import GENESIS, Act, Entry, Head, Row, TimedEntry, linked
from service.audit.chain.store import AuditStore
from service.audit.chain.trail import AuditTrail
from service.audit.chain.verification import verify
from service.errors import AuditUnavailable
from service.observability.observer import Observer

ENTRY = Entry(Act.INFER)


class FakeStore(AuditStore):
    """Keeps rows in memory; waits while `gate` is closed, and fails while `broken` is set."""

    def __init__(self) -> None:
        self.written: list[Row] = []
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.broken = False

    def append(self, writer: str, entries: list[TimedEntry]) -> list[Row]:
        self.entered.set()
        assert self.gate.wait(10)
        if self.broken:
            raise AuditUnavailable("the audit database does not answer")
        head = Head(writer, len(self.written), self.written[-1].hash if self.written else GENESIS)
        rows = linked(head, entries)
        self.written += rows
        self.sizes.append(len(rows))
        return rows

    def close(self) -> None:
        pass

    def acts(self) -> list[str]:
        return [row.record.split('"')[3] for row in self.written]


@dataclass
class Recorded(Observer):
    written: int = 0
    lost: int = 0
    failing: list[bool] = field(default_factory=list)
    changed: threading.Event = field(default_factory=threading.Event)

    def audit_entries(self, outcome: str, count: int) -> None:
        if outcome == "written":
            self.written += count
        else:
            self.lost += count

    def audit_failing(self, failing: bool) -> None:
        self.failing.append(failing)
        self.changed.set()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.changed.wait(10)
            self.changed.clear()


def trail(store: FakeStore, observer: Recorded, *, refuse: bool) -> AuditTrail:
    made = AuditTrail(store, "w", refuse=refuse, observer=observer, retry_s=0.01)
    made.start()
    return made


async def test_an_answer_waits_until_its_entry_is_written() -> None:
    store, observer = FakeStore(), Recorded()
    made = trail(store, observer, refuse=True)
    store.entered.wait(10)
    store.gate.clear()
    waiting = asyncio.create_task(made.append(ENTRY))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.gate.set()
    await waiting
    assert "infer" in store.acts()
    await asyncio.to_thread(made.close)
    assert store.acts()[0] == "started"
    assert store.acts()[-1] == "stopped"
    assert verify(store.written).faults == ()


async def test_entries_that_gather_during_a_transaction_share_the_next_one() -> None:
    store, observer = FakeStore(), Recorded()
    store.gate.clear()
    made = trail(store, observer, refuse=True)
    store.entered.wait(10)  # the first transaction has begun
    waiting = [asyncio.create_task(made.append(ENTRY)) for _ in range(50)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(*waiting)
    assert store.sizes == [1, 50]
    await asyncio.to_thread(made.close)


async def test_entries_that_nobody_waits_for_gather_for_a_moment() -> None:
    store, observer = FakeStore(), Recorded()
    made = trail(store, observer, refuse=False)
    for _ in range(20):
        await made.append(ENTRY)
    await asyncio.to_thread(made.close)
    assert sum(store.sizes) == 22
    assert len(store.sizes) <= 3


async def test_with_refuse_a_failing_store_refuses_answers_until_it_is_back() -> None:
    store, observer = FakeStore(), Recorded()
    made = trail(store, observer, refuse=True)
    await made.append(ENTRY)
    store.broken = True
    with pytest.raises(AuditUnavailable, match="nothing is answered without it"):
        await made.append(ENTRY)
    assert made.failing
    with pytest.raises(AuditUnavailable):
        made.check()
    store.broken = False
    await asyncio.to_thread(observer.wait_until, lambda: not made.failing)
    await made.append(ENTRY)
    await asyncio.to_thread(made.close)
    assert store.acts() == ["started", "infer", "resumed", "infer", "stopped"]
    assert '"lost":1' in store.written[2].record
    assert observer.lost == 1


async def test_with_continue_entries_wait_in_memory_until_the_store_is_back() -> None:
    store, observer = FakeStore(), Recorded()
    store.broken = True
    made = trail(store, observer, refuse=False)
    await asyncio.to_thread(observer.wait_until, lambda: made.failing)
    for _ in range(3):
        await made.append(ENTRY)
    made.check()
    assert store.written == []
    store.broken = False
    await asyncio.to_thread(observer.wait_until, lambda: not made.failing)
    await asyncio.to_thread(made.close)
    assert store.acts() == ["resumed", "started", "infer", "infer", "infer", "stopped"]
    assert '"lost":0' in store.written[0].record
    assert observer.lost == 0


async def test_entries_beyond_the_bound_are_lost_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.audit.chain.trail._MAX_PENDING", 2)
    store, observer = FakeStore(), Recorded()
    store.broken = True
    made = trail(store, observer, refuse=False)
    await asyncio.to_thread(observer.wait_until, lambda: made.failing)
    for _ in range(5):
        made.record(ENTRY)
    store.broken = False
    await asyncio.to_thread(observer.wait_until, lambda: not made.failing)
    await asyncio.to_thread(made.close)
    assert store.acts() == ["resumed", "started", "infer", "stopped"]
    assert '"lost":4' in store.written[0].record
    assert observer.lost == 4


async def test_a_store_that_hangs_refuses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.audit.chain.trail._WAIT_S", 1.0)
    store, observer = FakeStore(), Recorded()
    store.gate.clear()
    made = trail(store, observer, refuse=True)
    store.entered.wait(10)
    with pytest.raises(AuditUnavailable):
        await made.append(ENTRY)
    failed = made.failing
    store.gate.set()
    await asyncio.to_thread(made.close)
    assert (failed, made.failing) == (True, False)
    assert store.acts() == ["started", "infer", "stopped"]


def test_a_store_that_fails_to_the_end_does_not_hold_up_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, observer = FakeStore(), Recorded()
    store.broken = True
    made = trail(store, observer, refuse=False)
    made.close()
    assert observer.lost == 2
    assert "lacks 2 entries" in caplog.text
