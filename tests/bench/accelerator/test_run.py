"""The runner of the GPU benchmark: outcomes of its parts, exit status and page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.accelerator import child, page, run
from bench.accelerator.findings import Findings, Options, Skipped
from bench.accelerator.paper_model import configure, precisions
from bench.accelerator.parts.resumption import largest_gap, write_configuration
from bench.reporting.checks import at_most
from bench.servers.process import ROOT
from training.config.files import load
from training.config.pretrain import PretrainConfig
from training.engine.distributed import check_devices


def _options(work: Path, device: str = "cpu") -> Options:
    return Options(device=device, quick=True, models_dir=Path("models"), work=work)  # type: ignore[arg-type]


def _check(held: bool) -> dict[str, Any]:
    return {"name": "n", "asked": "a", "measured": "m", "held": held, "note": ""}


def test_without_a_gpu_every_part_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = child.outcome("environment", _options(tmp_path, "cuda"))
    assert found["status"] == "skipped"
    assert found["reason"].startswith("no CUDA device: torch ")


def test_a_missing_package_skips_a_part_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    monkeypatch.delitem(sys.modules, "bench.accelerator.parts.finetuning", raising=False)
    for name in [name for name in sys.modules if name.startswith("training.engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "bench.pretraining.step", raising=False)
    found = child.outcome("finetuning", _options(tmp_path))
    assert found == {
        "status": "skipped",
        "reason": "the package lightning.fabric is not installed",
    }


def test_the_environment_names_versions_and_the_provider_that_computes(tmp_path: Path) -> None:
    found = child.outcome("environment", _options(tmp_path))
    assert found["status"] == "ran"
    assert [check["held"] for check in found["checks"]] == [True, True, True]
    assert found["checks"][1]["measured"] == "CPUExecutionProvider"
    assert "torch" in [name for name, _ in found["tables"][0]["rows"]]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([{"status": "skipped"}, {"status": "skipped"}], 3),
        ([{"status": "skipped"}, {"status": "ran", "checks": [_check(True)]}], 0),
        ([{"status": "ran", "checks": [_check(True), _check(False)]}], 1),
        ([{"status": "ran", "checks": [_check(True)]}, {"status": "failed"}], 1),
    ],
)
def test_exit_status(outcomes: list[dict[str, Any]], status: int) -> None:
    assert run.status({str(i): found for i, found in enumerate(outcomes)}) == status


def test_a_part_that_dies_failed_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('out of memory')"]
    found = run.run_part(command, "", tmp_path / "result.json", 60)
    assert (found["status"], found["reason"]) == ("failed", "out of memory")


def test_a_part_that_hangs_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    found = run.run_part(command, "", tmp_path / "result.json", 0.5)
    assert found == {"status": "failed", "reason": "not finished after 0 s"}


def test_the_page_shows_checks_tables_and_reasons() -> None:
    checks = [at_most("gap", 2e-5, 1e-4, "")]
    ran = {"status": "ran", **Findings(checks).to_json()}
    ran["tables"] = [{"title": "Speed", "head": ["a"], "rows": [["7"]]}]
    parts = {"agreement": ran, "serving": {"status": "skipped", "reason": "no CUDA device"}}
    figures = {"at": 0.0, "took_s": 60.0, "command": "python bench/gpu.py", "parts": parts}
    text = page.markdown(figures, {"agreement": "losses agree", "serving": "golden outputs"})
    assert "| gap | at most 0.0001 | 2.0e-05 | held |" in text
    assert "### Speed\n\n| a |" in text
    assert "Skipped: no CUDA device." in text


def test_the_command_says_which_parts_there_are() -> None:
    command = [sys.executable, "bench/gpu.py", "--only", "nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not known: nothing" in done.stderr


@pytest.mark.gpu
def test_every_part_holds_on_a_gpu(tmp_path: Path) -> None:
    result = tmp_path / "gpu.json"
    command = [sys.executable, "bench/gpu.py", "--quick", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    parts = json.loads(result.read_text())["parts"]
    assert {name for name, found in parts.items() if found["status"] == "failed"} == set()


def test_a_skip_inside_a_part_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def skip(options: Options) -> Findings:
        raise Skipped("one GPU, two are needed")

    monkeypatch.setattr("bench.accelerator.parts.environment.measure", skip)
    found = child.outcome("environment", _options(tmp_path))
    assert found == {"status": "skipped", "reason": "one GPU, two are needed"}


def test_the_parts_train_at_the_precisions_that_the_device_has(tmp_path: Path) -> None:
    assert precisions(_options(tmp_path, "cuda"))[-1] == "16-mixed"
    options = _options(tmp_path)
    for precision in precisions(options):
        config = configure(options, precision)
        check_devices(config.engine, config.precision)


def test_a_step_that_both_runs_skipped_has_no_gap() -> None:
    """The history of a step that a gradient scaler skipped has 0 as its loss."""
    assert largest_gap([(0.0, 0.0), (2.0, 2.0)]) == 0
    assert largest_gap([(0.0, 2.0)]) == 1
    assert largest_gap([(2.0, 1.0)]) == 0.5


def test_the_resumed_run_has_random_weights_as_the_other_parts_do(tmp_path: Path) -> None:
    config = configure(_options(tmp_path), "32-true")
    read = load(str(write_configuration(config, tmp_path / "run.yaml")), PretrainConfig)
    assert read.model.encoder.weights is None
    assert read == config
