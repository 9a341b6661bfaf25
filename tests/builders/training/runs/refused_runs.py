"""Configurations of runs on a miniature table, as YAML files, to be started and refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typer.testing import Result

from tests.builders.g2d.command_line import failed, g2d
from tests.builders.training.runs import tiny_runs
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig


@dataclass(frozen=True)
class Workplace:
    """A folder with the configurations of both kinds of run.

    Attributes:
        folder: folder that the commands may write to.
        pretraining, finetuning: YAML files; both train on eight radiographs in batches of four.
    """

    folder: Path
    pretraining: Path
    finetuning: Path

    @property
    def out(self) -> Path:
        """Folder of the run, which does not exist yet."""
        return self.folder / "runs" / "run"

    @property
    def cache(self) -> Path:
        """Folder of caches, which does not exist yet."""
        return self.folder / "caches"

    def start(self, config: Path | str, *options: str, kind: str = "pretrain") -> Result:
        """Run `g2d pretrain` or `g2d finetune`."""
        usual = ["--out", str(self.out), "--cache", str(self.cache)]
        return g2d(kind, str(config), *usual, *options)

    def refuses(
        self, message: str, config: Path, *options: str, kind: str = "pretrain", code: int = 2
    ) -> None:
        """Check that a run fails in one line with an exit code, and that nothing was created."""
        before = sorted(self.folder.rglob("*"))
        failed(self.start(config, *options, kind=kind), message, code)
        assert sorted(self.folder.rglob("*")) == before


def workplace(folder: Path, text_encoder: Path) -> Workplace:
    """Write a miniature table and the configurations of two runs on it."""
    folder.mkdir(exist_ok=True)
    model = tiny_runs.model_config(text_encoder)
    tuned = tiny_runs.finetune_config(folder / "data", model)
    keys = tuned.model_dump(include={"epochs", "batch_size", "preprocess", "data", "model"})
    trained = PretrainConfig(kind="pretrain", **keys)
    return Workplace(
        folder,
        _write(folder / "pretraining.yaml", trained),
        _write(folder / "finetuning.yaml", tuned),
    )


def _write(path: Path, config: PretrainConfig | FinetuneConfig) -> Path:
    keys: dict[str, Any] = config.model_dump(mode="json")
    path.write_text(yaml.safe_dump(keys))
    return path
