"""The commands of the README that publish a run, on a miniature run in a folder of its own."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from radiograph.repository.repository import Repository
from tests.builders.training.runs import served_runs, tiny_runs
from tests.builders.training.runs.served_runs import g2d
from training.finetune.finetune import finetune

README = Path(__file__).parents[4] / "README.md"


@pytest.fixture(scope="module")
def run(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one finding and both lungs, as `make model` leaves it."""
    folder = tmp_path_factory.mktemp("readme")
    config = tiny_runs.finetune_config(folder / "data", tiny_runs.model_config(text_encoder))
    rows = tiny_runs.write_kermany(folder / "data", count=12)
    served_runs.split(folder / "data/kermany_224.csv", train=4, valid=4)
    few = {"data": rows, "findings": ("Pneumonia",), "boxes": (), "keep_alignment": False}
    few |= {"regions": False}
    finetune(config.model_copy(update=few), folder / "run", folder / "cache")
    return folder / "run"


def commands(heading: str) -> list[list[str]]:
    """Return the commands of `g2d` in the first block of a section, each as its words."""
    section = README.read_text().partition(f"\n## {heading}\n")[2]
    block = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    found = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [words[1:] for words in found if words[0] == "g2d"]


def test_a_run_is_published_made_stable_and_rolled_back(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "runs/shipped_words")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("G2D_MODELS_DIR", str(tmp_path / "models"))
    (evaluate, export, publish, alias, rollback) = commands("Publish")
    assert "AUROC" in g2d(*evaluate).upper()
    g2d(*export)
    g2d(*publish[:-1], "stable")  # the version that the service has
    repository = Repository(tmp_path / "models")
    assert repository.aliases("g2d-cxr") == {"stable": 1}
    printed = g2d(*publish)
    (number,) = re.findall(r"g2d-cxr version (\d+)", printed)
    assert repository.aliases("g2d-cxr") == {"stable": 1, "canary": 2}
    assert alias[-1].isdigit()
    g2d(*alias[:-1], number)
    assert repository.resolve("g2d-cxr") == 2
    g2d(*rollback)
    assert repository.resolve("g2d-cxr") == 1
