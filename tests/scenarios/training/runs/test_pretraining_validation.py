"""Validation during a pre-training: figures, the best weights, kills and two processes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.distributed.started_runs import start_pair_run
from tests.builders.distributed.torchrun import torchrun
from tests.builders.engine.killing import killed_at_its_first_checkpoint
from tests.builders.training.runs import tiny_runs
from training.config.engine import EngineConfig
from training.config.pretrain import PretrainConfig, RetrievalConfig
from training.config.run import DataConfig
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.engine.history import HISTORY, TIMES
from training.engine.model_selection import BEST
from training.pretrain.pretrain import pretrain

TEXTS = ("clear lungs", "the heart is large", "an effusion on the left", "a nodule")
RECALLS = [
    f"valid_{way}_r{k}" for way in ("image_to_report", "report_to_image") for k in (1, 5, 10)
]


def write_pairs(root: Path, splits: Sequence[str]) -> DataConfig:
    """Write one radiograph with a report for each split that is named."""
    names = [f"pairs_of_words/{i}.png" for i in range(len(splits))]
    records = [
        tiny_runs.record(name, split=split, text=TEXTS[i % len(TEXTS)])
        for i, (name, split) in enumerate(zip(names, splits, strict=True))
    ]
    files = {name: tiny_runs.picture(i) for i, name in enumerate(names)}
    tiny_runs.write_table(root, "pairs_of_words", records, files, tar=False)
    return DataConfig(root=root, tables=("pairs_of_words",))


@pytest.fixture(scope="module")
def config(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """Three epochs of two steps, with a checkpoint after the third step."""
    splits = ["train"] * 8 + ["valid"] * 6
    return PretrainConfig(
        kind="pretrain",
        epochs=3,
        batch_size=4,
        checkpoint_every=3,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=write_pairs(tmp_path_factory.mktemp("tables"), splits),
        model=tiny_runs.model_config(text_encoder),
        engine=EngineConfig(accelerator="cpu", loggers=()),
    )


def history(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / HISTORY).read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def whole(config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    assert pretrain(config, folder / "run", folder / "cache") == folder / "run" / CHECKPOINT
    return folder / "run"


def test_each_epoch_has_recalls_and_losses(whole: Path) -> None:
    validated = [line for line in history(whole) if "valid_recall" in line]
    assert [line["step"] for line in validated] == [2, 4, 6]
    for line in validated:
        assert all(0 <= line[name] <= 1 for name in RECALLS)
        mean = sum(line[name] for name in RECALLS) / len(RECALLS)
        assert line["valid_recall"] == pytest.approx(mean, abs=1e-5)
        parts = line["valid_vla"] + line["valid_pa"]
        assert line["valid_loss"] == pytest.approx(parts, abs=2e-5)
        assert line["valid_image_to_report_r10"] == 1.0  # there are six rows


def test_the_best_is_kept_beside_the_last(whole: Path) -> None:
    best = torch.load(whole / BEST, weights_only=True)
    recalls = {
        line["step"]: line["valid_recall"] for line in history(whole) if "valid_recall" in line
    }
    first = max(recalls, key=lambda step: (recalls[step], -step))
    assert best["step"] == first
    assert best["valid"] == pytest.approx(recalls[first], abs=1e-5)
    assert (whole / CHECKPOINT).is_file()


def test_a_killed_run_validates_as_one_that_ran_through(
    config: PretrainConfig, whole: Path, tmp_path: Path
) -> None:
    with killed_at_its_first_checkpoint():
        pretrain(config, tmp_path / "run", tmp_path / "cache")
    pretrain(config, tmp_path / "run", tmp_path / "cache")
    assert history(tmp_path / "run") == history(whole)
    for name in (CHECKPOINT, BEST):
        one, other = (read_checkpoint(run / name).weights for run in (whole, tmp_path / "run"))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_validation_changes_nothing_of_the_training(
    config: PretrainConfig, whole: Path, tmp_path: Path
) -> None:
    alone = config.model_copy(update={"choose": None})
    done = pretrain(alone, tmp_path / "run", tmp_path / "cache")
    with_it, without = read_checkpoint(whole / CHECKPOINT).weights, read_checkpoint(done).weights
    assert all(torch.equal(with_it[key], without[key]) for key in without)
    assert not (tmp_path / "run" / BEST).exists()


def test_without_validation_rows_a_run_says_so_once_and_goes_on(
    config: PretrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "data", ["train"] * 4 + ["test"] * 2)
    short = config.model_copy(update={"data": data, "epochs": 1})
    pretrain(short, tmp_path / "run", tmp_path / "cache")
    said = capsys.readouterr().out
    assert said.count("not validated: no row of the validation split has a text") == 1
    assert not (tmp_path / "run" / BEST).exists()


def test_the_lowest_loss_may_choose_and_patience_ends_a_run(
    config: PretrainConfig, tmp_path: Path
) -> None:
    choose = RetrievalConfig(by="loss", every=1, patience=1, limit=3)
    still = config.optimiser.model_copy(update={"lr": 1e-30})
    stuck = config.model_copy(update={"choose": choose, "optimiser": still, "epochs": 20})
    pretrain(stuck, tmp_path / "run", tmp_path / "cache")
    losses = [line["valid_loss"] for line in history(tmp_path / "run")]
    assert 2 <= len(losses) < 40
    assert losses[-1] >= min(losses[:-1])


def test_two_processes_validate_without_waiting_for_each_other_in_vain(
    config: PretrainConfig, tmp_path: Path
) -> None:
    halved = config.model_copy(update={"batch_size": 2})
    status, said = start_pair_run(torchrun(), halved, tmp_path / "two")
    assert status == 0, said
    found = history(tmp_path / "two" / "run")
    assert [line["step"] for line in found if "valid_recall" in line] == [2, 4, 6]
    assert (tmp_path / "two" / "run" / BEST).is_file()
