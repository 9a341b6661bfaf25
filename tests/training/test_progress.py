"""Lines of progress where there is no terminal."""

import itertools
import time

import pytest

from training import progress


def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step_s: float,
          start: int = 0, items: int = 10) -> list[str]:  # fmt: skip
    """Track items that each take a time, and return what was printed."""
    clock = itertools.count(0.0, step_s)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for _ in progress.track(range(items), "steps", start=start):
        pass
    return capsys.readouterr().err.splitlines()


def test_lines_tell_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, 40.0)
    assert found[0] == "steps: 1 of 10, 6 min left"
    assert found[-1] == "steps: 9 of 10, 40 s left"


def test_a_resumed_run_measures_its_own_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, 600.0, start=90)
    assert found[0] == "steps: 91 of 100, 1 h 30 min left"


def test_lines_become_rarer_the_longer_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(monkeypatch, capsys, 1.0, items=25) == []
    hour = lines(monkeypatch, capsys, 1.0, items=3600)
    assert 40 < len(hour) < 80  # one each half minute would be 120


def test_a_count_without_an_end_has_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(0.0, 40.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for _ in progress.track(iter(range(2)), "chunks"):
        pass
    assert capsys.readouterr().err.splitlines() == ["chunks: 1", "chunks: 2"]
