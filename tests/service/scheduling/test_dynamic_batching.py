"""Waiting items run together, in fair turns, and abandoned items do not run at all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.observability.observer import NullObserver
from service.scheduling.dynamic_batching import JOB, BatchQueue, DynamicBatcher
from service.settings import BatchingSettings


class LossLog(NullObserver):
    """Observer that remembers why items were dropped or refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def dropped(self, reason: str) -> None:
        self.reasons.append(reason)

    def shed(self, reason: str) -> None:
        self.reasons.append(reason)


class Model:
    """Model that capitalises words once its gate is open, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def run(self, words: list[str]) -> list[str]:
        self.batches.append(words)
        self.entered.release()
        assert self.gate.wait(60)
        if any("bad" in word for word in words):
            raise ZeroDivisionError(words[0])
        return [word.upper() for word in words]


@pytest.fixture
def losses() -> LossLog:
    return LossLog()


@pytest.fixture
def batcher(losses: LossLog) -> Iterator[DynamicBatcher]:
    running = DynamicBatcher(BatchingSettings(workers=1), losses, max_waiting=60)
    yield running
    running.close()


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.gate.set()


def submit(queue: BatchQueue[str, str], *words: str, key: str = "segment") -> list["Future[str]"]:
    return [queue.submit(key, word, Deadline(60)) for word in words]


def busy(model: Model, queue: BatchQueue[str, str]) -> "Future[str]":
    """Keep the only worker busy, so that new items wait until the gate opens."""
    model.gate.clear()
    model.entered = threading.Semaphore(0)
    (first,) = submit(queue, "first")
    assert model.entered.acquire(timeout=60)
    model.batches.clear()
    return first


def results(futures: list["Future[str]"]) -> list[str]:
    return [future.result(60) for future in futures]


def test_a_single_item_runs_at_once(batcher: DynamicBatcher, model: Model) -> None:
    queue = batcher.open_queue(model.run, max_batch=8)
    assert results(submit(queue, "a")) == ["A"]
    assert model.batches == [["a"]]


def test_waiting_items_form_batches_up_to_the_largest(
    batcher: DynamicBatcher, model: Model
) -> None:
    queue = batcher.open_queue(model.run, max_batch=3)
    busy(model, queue)
    futures = submit(queue, *"abcdefg")
    model.gate.set()
    assert results(futures) == list("ABCDEFG")
    assert model.batches == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


def test_one_bad_item_fails_alone(batcher: DynamicBatcher, model: Model) -> None:
    queue = batcher.open_queue(model.run, max_batch=4)
    busy(model, queue)
    futures = submit(queue, "a", "bad", "c", "d")
    model.gate.set()
    assert [future.exception(60) is None for future in futures] == [True, False, True, True]
    assert results([futures[0], *futures[2:]]) == ["A", "C", "D"]
    assert isinstance(futures[1].exception(), ZeroDivisionError)


def test_too_few_results_fail_every_item(batcher: DynamicBatcher) -> None:
    queue: BatchQueue[str, str] = batcher.open_queue(lambda words: words[:-1], max_batch=1)
    (future,) = submit(queue, "a")
    assert isinstance(future.exception(60), RuntimeError)


def test_abandoned_items_are_dropped_before_the_batch(
    batcher: DynamicBatcher, model: Model, losses: LossLog
) -> None:
    queue = batcher.open_queue(model.run, max_batch=8)
    busy(model, queue)
    left = Deadline(60)
    late = queue.submit("segment", "late", Deadline(0))
    gone = queue.submit("segment", "gone", left)
    cancelled, kept = submit(queue, "cancelled", "kept")
    left.abandon()
    assert cancelled.cancel()
    model.gate.set()
    assert kept.result(60) == "KEPT"
    assert model.batches == [["kept"]]
    assert isinstance(late.exception(60), DeadlineExceeded)
    assert isinstance(gone.exception(60), ClientGone)
    assert losses.reasons == ["deadline", "client_gone", "client_gone"]


def test_nothing_runs_when_every_waiting_item_was_dropped(
    batcher: DynamicBatcher, model: Model
) -> None:
    queue = batcher.open_queue(model.run, max_batch=8)
    first = busy(model, queue)
    late = queue.submit("segment", "late", Deadline(0))
    model.gate.set()
    assert first.result(60) == "FIRST"
    assert isinstance(late.exception(60), DeadlineExceeded)
    queue.close()
    assert model.batches == []


def test_a_flood_of_one_task_does_not_delay_another(batcher: DynamicBatcher, model: Model) -> None:
    queue = batcher.open_queue(model.run, max_batch=2)
    busy(model, queue)
    flood = submit(queue, *(f"s{number}" for number in range(20)))
    other = submit(queue, "c0", "c1", key="classify")
    model.gate.set()
    results(flood + other)
    assert {"c0", "c1"} < {word for batch in model.batches[:2] for word in batch}


def test_jobs_get_a_quarter_of_the_share_of_a_task(batcher: DynamicBatcher, model: Model) -> None:
    queue = batcher.open_queue(model.run, max_batch=1)
    busy(model, queue)
    futures = submit(queue, *["j"] * 25, key=JOB)
    futures += submit(queue, *["s"] * 25)
    model.gate.set()
    results(futures)
    order = [word for batch in model.batches for word in batch]
    assert order[:20].count("j") == 4


def test_an_idle_queue_saves_no_turns(batcher: DynamicBatcher, model: Model) -> None:
    queue = batcher.open_queue(model.run, max_batch=1)
    for _ in range(3):
        results(submit(queue, *["s"] * 10))
    busy(model, queue)
    futures = submit(queue, *["c"] * 10, key="classify") + submit(queue, *["s"] * 10)
    model.gate.set()
    results(futures)
    order = "".join(batch[0] for batch in model.batches)
    assert 4 <= order[:10].count("c") <= 6


def test_versions_take_turns_and_never_share_a_batch(batcher: DynamicBatcher, model: Model) -> None:
    stable, canary = (batcher.open_queue(model.run, max_batch=2) for _ in range(2))
    busy(model, stable)
    futures = submit(stable, *["s"] * 6) + submit(canary, *["c"] * 6)
    model.gate.set()
    results(futures)
    assert sorted(batch[0] for batch in model.batches[:4]) == ["c", "c", "s", "s"]
    assert all(len(set(batch)) == 1 for batch in model.batches)


def test_workers_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60)
    batcher = DynamicBatcher(BatchingSettings(workers=2))
    queue: BatchQueue[str, str] = batcher.open_queue(
        lambda words: [str(meeting.wait())] * len(words), max_batch=1
    )
    assert sorted(results(submit(queue, "a", "b"))) == ["0", "1"]
    batcher.close()


def test_items_beyond_the_bound_are_refused(
    batcher: DynamicBatcher, model: Model, losses: LossLog
) -> None:
    queue = batcher.open_queue(model.run, max_batch=8)
    busy(model, queue)
    futures = submit(queue, *["a"] * 60)
    with pytest.raises(Overloaded):
        submit(queue, "one more")
    assert losses.reasons == ["queue"]
    model.gate.set()
    results(futures)
    assert results(submit(queue, "later")) == ["LATER"]


def test_a_closing_queue_finishes_its_items_and_refuses_new_ones(
    batcher: DynamicBatcher, model: Model
) -> None:
    queue, other = (batcher.open_queue(model.run, max_batch=1) for _ in range(2))
    first = busy(model, queue)
    waiting = submit(queue, "a", "b")
    closing = threading.Thread(target=queue.close)
    closing.start()
    while not queue.closed:
        pass
    with pytest.raises(Overloaded):
        submit(queue, "new")
    assert closing.is_alive()
    model.gate.set()
    closing.join(60)
    assert [future.done() for future in [first, *waiting]] == [True] * 3
    assert results([first, *waiting]) == ["FIRST", "A", "B"]
    assert results(submit(other, "c")) == ["C"]


def test_a_closing_batcher_finishes_its_items(model: Model) -> None:
    batcher = DynamicBatcher(BatchingSettings(workers=2))
    queue = batcher.open_queue(model.run, max_batch=1)
    futures = submit(queue, *"abcdef")
    batcher.close()
    assert [future.done() for future in futures] == [True] * 6
    with pytest.raises(Overloaded):
        submit(queue, "late")


def test_results_are_never_mixed_up() -> None:
    batcher = DynamicBatcher(BatchingSettings(workers=3))

    def marking(mark: str) -> Callable[[list[str]], list[str]]:
        return lambda words: [f"{mark}{word}" for word in words]

    queues = [batcher.open_queue(marking(mark), max_batch=4) for mark in "xyz"]
    futures = {
        f"{mark}{number}": queue.submit(f"key{number % 4}", str(number), Deadline(60))
        for number in range(200)
        for mark, queue in zip("xyz", queues, strict=True)
    }
    assert all(future.result(60) == name for name, future in futures.items())
    batcher.close()
