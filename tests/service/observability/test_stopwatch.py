"""A stopwatch adds up the times of stages with the same name."""

import pytest

from service.observability.stopwatch import Stopwatch


def test_stages_with_the_same_name_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.5, 2.0, 2.25, 3.0, 3.001])
    monkeypatch.setattr("service.observability.stopwatch.time.perf_counter", lambda: next(times))
    watch = Stopwatch()
    for name in ("read", "read", "encode"):
        with watch.stage(name):
            pass
    assert watch.ms == {"read": pytest.approx(750), "encode": pytest.approx(1)}
