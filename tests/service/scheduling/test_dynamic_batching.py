"""What waits is run together, in turn, and what nobody waits for is not run."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.observability.observer import NullObserver
from service.scheduling.batch_size_tuning import measure_max_batch
from service.scheduling.dynamic_batching import JOB, BatchQueue, DynamicBatcher


class Watching(NullObserver):
    """Remembers what was dropped and shed."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def dropped(self, reason: str) -> None:
        self.told.append(reason)

    def shed(self, reason: str) -> None:
        self.told.append(reason)


class Model:
    """Answers a batch of words in capitals, once the gate is open, and remembers the batches."""

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
def watching() -> Watching:
    return Watching()


@pytest.fixture
def engine(watching: Watching) -> Iterator[DynamicBatcher]:
    running = DynamicBatcher(lanes=1, max_waiting=60, observer=watching)
    yield running
    running.close()


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.gate.set()


def submit(channel: BatchQueue[str, str], *words: str, key: str = "segment") -> list["Future[str]"]:
    return [channel.submit(key, word, Deadline(60)) for word in words]


def busy(model: Model, channel: BatchQueue[str, str]) -> "Future[str]":
    """Keep the only lane busy, so that what comes now waits until the gate opens."""
    model.gate.clear()
    model.entered = threading.Semaphore(0)
    (first,) = submit(channel, "first")
    assert model.entered.acquire(timeout=60)
    model.batches.clear()
    return first


def results(futures: list["Future[str]"]) -> list[str]:
    return [future.result(60) for future in futures]


def test_a_lone_item_is_run_without_waiting_for_company(
    engine: DynamicBatcher, model: Model
) -> None:
    channel = engine.open(model.run, max_batch=8)
    assert results(submit(channel, "a")) == ["A"]
    assert model.batches == [["a"]]


def test_what_waits_is_one_batch_up_to_the_largest(engine: DynamicBatcher, model: Model) -> None:
    channel = engine.open(model.run, max_batch=3)
    busy(model, channel)
    futures = submit(channel, *"abcdefg")
    model.gate.set()
    assert results(futures) == list("ABCDEFG")
    assert model.batches == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


def test_one_bad_item_fails_alone(engine: DynamicBatcher, model: Model) -> None:
    channel = engine.open(model.run, max_batch=4)
    busy(model, channel)
    futures = submit(channel, "a", "bad", "c", "d")
    model.gate.set()
    assert [future.exception(60) is None for future in futures] == [True, False, True, True]
    assert results([futures[0], *futures[2:]]) == ["A", "C", "D"]
    assert isinstance(futures[1].exception(), ZeroDivisionError)


def test_too_few_results_are_no_answer_for_anybody(engine: DynamicBatcher) -> None:
    channel: BatchQueue[str, str] = engine.open(lambda words: words[:-1], max_batch=1)
    (future,) = submit(channel, "a")
    assert isinstance(future.exception(60), RuntimeError)


def test_what_nobody_waits_for_is_dropped_before_the_batch(
    engine: DynamicBatcher, model: Model, watching: Watching
) -> None:
    channel = engine.open(model.run, max_batch=8)
    busy(model, channel)
    left = Deadline(60)
    late = channel.submit("segment", "late", Deadline(0))
    gone = channel.submit("segment", "gone", left)
    cancelled, kept = submit(channel, "cancelled", "kept")
    left.abandon()
    assert cancelled.cancel()
    model.gate.set()
    assert kept.result(60) == "KEPT"
    assert model.batches == [["kept"]]
    assert isinstance(late.exception(60), DeadlineExceeded)
    assert isinstance(gone.exception(60), ClientGone)
    assert watching.told == ["deadline", "client_gone", "client_gone"]


def test_when_all_that_waits_was_dropped_nothing_is_run(
    engine: DynamicBatcher, model: Model
) -> None:
    channel = engine.open(model.run, max_batch=8)
    first = busy(model, channel)
    late = channel.submit("segment", "late", Deadline(0))
    model.gate.set()
    assert first.result(60) == "FIRST"
    assert isinstance(late.exception(60), DeadlineExceeded)
    channel.close()
    assert model.batches == []


def test_a_flood_of_one_task_does_not_hold_up_another(engine: DynamicBatcher, model: Model) -> None:
    channel = engine.open(model.run, max_batch=2)
    busy(model, channel)
    flood = submit(channel, *(f"s{number}" for number in range(20)))
    other = submit(channel, "c0", "c1", key="classify")
    model.gate.set()
    results(flood + other)
    assert {"c0", "c1"} < {word for batch in model.batches[:2] for word in batch}


def test_jobs_get_a_quarter_of_what_a_task_gets(engine: DynamicBatcher, model: Model) -> None:
    channel = engine.open(model.run, max_batch=1)
    busy(model, channel)
    futures = submit(channel, *["j"] * 25, key=JOB)
    futures += submit(channel, *["s"] * 25)
    model.gate.set()
    results(futures)
    order = [word for batch in model.batches for word in batch]
    assert order[:20].count("j") == 4


def test_a_queue_that_was_idle_has_saved_no_turns(engine: DynamicBatcher, model: Model) -> None:
    channel = engine.open(model.run, max_batch=1)
    for _ in range(3):
        results(submit(channel, *["s"] * 10))
    busy(model, channel)
    futures = submit(channel, *["c"] * 10, key="classify") + submit(channel, *["s"] * 10)
    model.gate.set()
    results(futures)
    order = "".join(batch[0] for batch in model.batches)
    assert 4 <= order[:10].count("c") <= 6


def test_versions_take_turns_and_never_share_a_batch(engine: DynamicBatcher, model: Model) -> None:
    stable, canary = (engine.open(model.run, max_batch=2) for _ in range(2))
    busy(model, stable)
    futures = submit(stable, *["s"] * 6) + submit(canary, *["c"] * 6)
    model.gate.set()
    results(futures)
    assert sorted(batch[0] for batch in model.batches[:4]) == ["c", "c", "s", "s"]
    assert all(len(set(batch)) == 1 for batch in model.batches)


def test_lanes_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60)
    engine = DynamicBatcher(lanes=2)
    channel: BatchQueue[str, str] = engine.open(
        lambda words: [str(meeting.wait())] * len(words), max_batch=1
    )
    assert sorted(results(submit(channel, "a", "b"))) == ["0", "1"]
    engine.close()


def test_a_queue_that_is_full_refuses(
    engine: DynamicBatcher, model: Model, watching: Watching
) -> None:
    channel = engine.open(model.run, max_batch=8)
    busy(model, channel)
    futures = submit(channel, *["a"] * 60)
    with pytest.raises(Overloaded):
        submit(channel, "one more")
    assert watching.told == ["queue"]
    model.gate.set()
    results(futures)
    assert results(submit(channel, "later")) == ["LATER"]


def test_a_closing_channel_answers_what_it_took_and_takes_nothing(
    engine: DynamicBatcher, model: Model
) -> None:
    channel, other = (engine.open(model.run, max_batch=1) for _ in range(2))
    first = busy(model, channel)
    waiting = submit(channel, "a", "b")
    closing = threading.Thread(target=channel.close)
    closing.start()
    while not channel.closed:
        pass
    with pytest.raises(Overloaded):
        submit(channel, "new")
    assert closing.is_alive()
    model.gate.set()
    closing.join(60)
    assert [future.done() for future in [first, *waiting]] == [True] * 3
    assert results([first, *waiting]) == ["FIRST", "A", "B"]
    assert results(submit(other, "c")) == ["C"]


def test_an_engine_that_ends_answers_what_it_took(model: Model) -> None:
    engine = DynamicBatcher(lanes=2)
    channel = engine.open(model.run, max_batch=1)
    futures = submit(channel, *"abcdef")
    engine.close()
    assert [future.done() for future in futures] == [True] * 6
    with pytest.raises(Overloaded):
        submit(channel, "late")


def test_results_are_never_mixed_up() -> None:
    engine = DynamicBatcher(lanes=3)

    def marking(mark: str) -> Callable[[list[str]], list[str]]:
        return lambda words: [f"{mark}{word}" for word in words]

    channels = [engine.open(marking(mark), max_batch=4) for mark in "xyz"]
    futures = {
        f"{mark}{number}": channel.submit(f"key{number % 4}", str(number), Deadline(60))
        for number in range(200)
        for mark, channel in zip("xyz", channels, strict=True)
    }
    assert all(future.result(60) == name for name, future in futures.items())
    engine.close()


def clock(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> Callable[[int], None]:
    """A run that takes so many seconds for each batch size, on a clock of its own."""
    now = [0.0]
    monkeypatch.setattr("service.scheduling.batch_size_tuning.time.perf_counter", lambda: now[0])

    def run(size: int) -> None:
        now[0] += seconds[size]

    return run


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 0.04, 2: 0.06, 4: 0.10, 8: 0.16}, 8),
        ({1: 0.04, 2: 0.06, 4: 0.10, 8: 0.24}, 4),
        ({1: 0.04, 2: 0.08}, 1),
        ({1: 0.04, 2: 0.079}, 1),
        ({1: 0.04, 2: 0.10}, 1),
        ({1: 0.04, 2: 0.06, 4: 0.20}, 2),
        ({1: 2.0}, 1),
        ({1: 0.2, 2: 0.3}, 2),
    ],
)
def test_the_largest_batch_is_the_fastest_for_each_image_within_the_budget(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], best: int
) -> None:
    assert measure_max_batch(clock(monkeypatch, seconds)) == best


def test_a_batch_size_that_is_set_is_not_measured_and_a_graph_is_measured_once() -> None:
    calls: list[int] = []
    assert DynamicBatcher(lanes=1, max_batch=5).max_batch("graph", calls.append) == 5
    assert calls == []
    engine = DynamicBatcher(lanes=1)
    size = engine.max_batch("graph", calls.append)
    count = len(calls)
    assert count >= 2
    assert engine.max_batch("graph", calls.append) == size
    assert len(calls) == count
