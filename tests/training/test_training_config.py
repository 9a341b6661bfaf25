"""Configurations: what we ship is valid, what is wrong is refused."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from training.config import CONFIGS, FinetuneConfig, PretrainConfig, find, load

SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_valid(name: str) -> None:
    if yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["kind"] == "pretrain":
        assert load(name, PretrainConfig).kind == "pretrain"
    else:
        assert load(name, FinetuneConfig).kind == "finetune"


def _write(folder: Path, **changes: object) -> Path:
    text = yaml.safe_load((CONFIGS / "g2d_paper.yaml").read_text()) | changes
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        load(_write(tmp_path, learning_rate=1), PretrainConfig)


def test_an_unknown_key_of_a_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="momentum"):
        load(_write(tmp_path, optimiser={"momentum": 0.9}), PretrainConfig)


def test_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="configures a pretrain run"):
        load(_write(tmp_path), FinetuneConfig)


def test_a_missing_configuration_names_the_shipped_ones() -> None:
    with pytest.raises(FileNotFoundError, match="g2d_paper"):
        find("no_such_run")
