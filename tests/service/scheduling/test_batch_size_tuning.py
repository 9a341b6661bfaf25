"""The measured batch size is the fastest for each image, within the time budget."""

from collections.abc import Callable

import pytest

from service.scheduling.batch_size_tuning import measure_max_batch
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import BatchingSettings


def simulated_run(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]
) -> Callable[[int], None]:
    """Return a run that takes the given seconds for each batch size, on a simulated clock."""
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
def test_the_fastest_size_for_each_image_is_chosen_within_the_budget(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], best: int
) -> None:
    assert measure_max_batch(simulated_run(monkeypatch, seconds)) == best


def test_a_batch_size_that_is_set_is_not_measured() -> None:
    calls: list[int] = []
    batcher = DynamicBatcher(BatchingSettings(max_batch=5))
    assert batcher.max_batch("graph", calls.append) == 5
    assert calls == []


def test_a_graph_is_measured_once() -> None:
    calls: list[int] = []
    batcher = DynamicBatcher(BatchingSettings())
    size = batcher.max_batch("graph", calls.append)
    count = len(calls)
    assert count >= 2
    assert batcher.max_batch("graph", calls.append) == size
    assert len(calls) == count
