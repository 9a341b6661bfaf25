"""Whole runs: pre-training, then heads on a trunk that may be frozen."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.engine.killing import killed_at_its_first_checkpoint
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.data.cache.row_counts import ROWS
from training.engine.checkpoint import read_checkpoint
from training.engine.history import TIMES
from training.evaluation.trained_model import load_run
from training.finetune.finetune import finetune
from training.finetune.initial_weights import load_pretrained
from training.git_commit import current_commit
from training.pretrain.pretrain import SILENT, pretrain


@pytest.fixture(scope="module")
def config(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A pre-training of three steps on the miniature table."""
    return PretrainConfig(
        kind="pretrain",
        epochs=3,
        batch_size=8,
        checkpoint_every=2,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=tiny_runs.write_kermany(tmp_path_factory.mktemp("tables")),
        model=tiny_runs.model_config(text_encoder),
        temperature=0.1,
        same_text_is_positive=True,
    )


@pytest.fixture(scope="module")
def pretrained(config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of the pre-training."""
    folder = tmp_path_factory.mktemp("pretrained")
    return pretrain(config, folder / "run", folder / "cache")


def test_radiographs_without_any_text_are_left_out_counted_and_named(
    config: PretrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"mute/{i}.png" for i in range(10)]
    records = [tiny_runs.record(name, labels="normal") for name in names[:8]]
    records += [tiny_runs.record(names[8]), tiny_runs.record(names[9], labels="unheard of")]
    files = {name: tiny_runs.picture(i) for i, name in enumerate(names)}
    tiny_runs.write_table(tmp_path, "mute", records, files, tar=False)
    data = DataConfig(root=tmp_path, tables=("mute",))
    one = config.model_copy(update={"data": data, "epochs": 1})
    pretrain(one, tmp_path / "run", tmp_path / "cache")
    named = (tmp_path / "run" / SILENT).read_text().splitlines()
    assert (tmp_path / "run" / ROWS).is_file()
    assert named == ["table,image", f"mute,{names[8]}", f"mute,{names[9]}"]
    assert "neither report nor known label: 2" in capsys.readouterr().out


def _weights(checkpoint: Path) -> dict[str, Tensor]:
    return read_checkpoint(checkpoint).weights


def _history(checkpoint: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (checkpoint.parent / "history.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def test_a_killed_pre_training_ends_as_the_uninterrupted_one(
    config: PretrainConfig, pretrained: Path, tmp_path: Path
) -> None:
    with killed_at_its_first_checkpoint():
        pretrain(config, tmp_path / "run", tmp_path / "cache")
    resumed = pretrain(config, tmp_path / "run", tmp_path / "cache")
    assert _history(resumed) == _history(pretrained)
    whole, again = _weights(pretrained), _weights(resumed)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_mixed_precision_trains_and_keeps_weights_in_float32(
    config: PretrainConfig, tmp_path: Path
) -> None:
    mixed = config.model_copy(update={"precision": "bf16-mixed", "epochs": 1})
    done = pretrain(mixed, tmp_path / "run", tmp_path / "cache")
    assert _history(done)[-1]["step"] == 1
    assert {w.dtype for w in _weights(done).values()} == {torch.float32, torch.int64}


def _frozen(config: PretrainConfig, pretrained: Path) -> FinetuneConfig:
    return FinetuneConfig(
        kind="finetune",
        epochs=2,
        batch_size=4,
        preprocess=config.preprocess,
        data=config.data,
        pretrained=pretrained,
        freeze_trunk=True,
        findings=("Pneumonia",),
        phrases_per_batch=4,
    )


def test_a_frozen_trunk_stays_as_it_was_pre_trained(
    config: PretrainConfig, pretrained: Path, tmp_path: Path
) -> None:
    done = finetune(_frozen(config, pretrained), tmp_path / "run", tmp_path / "cache")
    before, after = _weights(pretrained), _weights(done)
    assert all(torch.equal(before[name], after[name]) for name in before)
    start = load_pretrained(_frozen(config, pretrained)).state_dict()
    assert not torch.equal(
        start["heads.findings.linear.1.weight"], after["heads.findings.linear.1.weight"]
    )
    assert "vla" not in _history(done)[-1]


def test_a_run_keeps_the_temperature_of_its_pre_training(
    config: PretrainConfig, pretrained: Path, tmp_path: Path
) -> None:
    done = finetune(_frozen(config, pretrained), tmp_path / "run", tmp_path / "cache")
    model = load_run(done.parent)
    assert [run.config.kind for run in model.runs] == ["pretrain", "finetune"]
    assert model.runs[0].config == config
    assert model.module.temperature == 0.1
    assert set(model.heads) == {"findings", "regions", "similarity"}


def test_a_fine_tuning_starts_from_another(
    config: PretrainConfig, pretrained: Path, tmp_path: Path
) -> None:
    done = finetune(_frozen(config, pretrained), tmp_path / "run", tmp_path / "cache")
    further = _frozen(config, pretrained).model_copy(update={"start_from": done})
    loaded, saved = load_pretrained(further).state_dict(), _weights(done)
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    last = finetune(further, tmp_path / "further", tmp_path / "cache")
    past = [run.config for run in load_run(last).runs]
    assert past == [config, _frozen(config, pretrained), further]
    assert {run.commit for run in load_run(last).runs} == {current_commit()}


def test_a_fine_tuning_without_a_model_is_refused(config: PretrainConfig, pretrained: Path) -> None:
    nothing = _frozen(config, pretrained).model_copy(update={"pretrained": None})
    with pytest.raises(ValueError, match="needs `pretrained` or `model`"):
        load_pretrained(nothing)
