"""`g2d zero-shot`: rules and figures of a run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from tests.builders.training.sets import zero_shot_set
from tests.builders.training.sets.zero_shot_set import TABLE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four radiographs to choose by and four to measure on."""
    return zero_shot_set.write(tmp_path_factory.mktemp("zero_shot"), "vvvvtttt")


@pytest.mark.parametrize(("task", "figure"), [("classify", "auroc"), ("ground", "recall")])
def test_the_command_prints_rules_and_figures(
    finetuned: Path, root: Path, task: str, figure: str
) -> None:
    arguments = ["zero-shot", str(finetuned), "--data", str(root), "--table", TABLE, "--task", task]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("threshold: ")
    assert figure in answer.output
    assert "n=" in answer.output
