"""A real service is disturbed in a miniature of the benchmark."""

from pathlib import Path

import pytest

from bench.disturbances import page, run, scenarios
from tests.builders.models.versions import tiny_version


def test_a_miniature_service_survives_the_death_of_its_decoders(
    tiny_models: Path, tmp_path: Path
) -> None:
    written = tmp_path / "chaos.md"
    arguments = ["--models-dir", str(tiny_models), "--model", tiny_version.NAME, "--quick"]
    arguments += ["--only", "decoders_killed", "--write", str(written)]
    assert run.main("x", arguments) == 0, written.read_text()
    (line,) = [text for text in written.read_text().splitlines() if "`decoders_killed`" in text]
    requests, right = (int(cell) for cell in line.split("|")[2:4])
    assert 0 < right <= requests
    assert "processes killed" in line


def test_a_scenario_that_cannot_run_says_why_and_is_no_success(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenarios, "_CLOCK_LIBRARIES", "/nowhere/libfaketime*")
    arguments = ["--models-dir", str(tiny_models), "--quick", "--only", "clock_jumps"]
    assert run.main("x", arguments) == 3
    assert "libfaketime is not installed" in capsys.readouterr().out


def test_an_unknown_scenario_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main("x", ["--only", "sigterm,flood"])
    assert ended.value.code == 2
    assert "not known: flood" in capsys.readouterr().err


def test_a_fault_is_shown_in_the_table() -> None:
    counts = {"requests": 9, "answered": 8, "wrong": 1}
    result = run.Result("sigterm", counts, 0, "done", held=False)
    machine = {"cpu": "x", "usable_cores": 2, "system": "Linux"}
    options = run.Options(Path("models"), "tiny", 5.0, clients=2, senders=1, files=4)
    (line,) = [
        text for text in page.markdown([result], machine, options).splitlines() if "`sig" in text
    ]
    assert line == "| `sigterm` | 9 | 8 |  |  |  |  |  |  | 1 |  | 0 | **no** | done |"
