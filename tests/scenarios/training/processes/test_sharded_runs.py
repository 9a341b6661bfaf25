"""Runs that read shards from S3 have the losses of runs that read the cache."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.builders.distributed.run_of_pairs import run
from tests.builders.distributed.started_runs import start_pair_run
from tests.builders.distributed.torchrun import torchrun
from tests.builders.files.s3_server import ADDRESS, s3_server
from tests.builders.g2d.command_line import failed, g2d
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.refused_runs import Workplace, workplace
from tests.builders.training.sets.sharded_sets import SPEC, ShardedSet, sharded
from training.config.engine import EngineConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.engine.history import HISTORY, TIMES


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with s3_server():
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ShardedSet:
    return sharded(tmp_path_factory.mktemp("tables"), ADDRESS)


@pytest.fixture
def config(written: ShardedSet, text_encoder: Path) -> PretrainConfig:
    """Four steps of eight rows over two processes, from shards, shuffled in windows of two."""
    return PretrainConfig(
        kind="pretrain",
        epochs=2,
        batch_size=4,
        checkpoint_every=2,
        preprocess=SPEC,
        data=written.config,
        model=tiny_runs.model_config(text_encoder),
        engine=EngineConfig(accelerator="cpu", log_every=1),
    )


def _history(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "run" / HISTORY).read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "run" / CHECKPOINT).weights


def test_two_processes_from_shards_killed_and_resumed_have_the_losses_of_the_cache(
    config: PretrainConfig, written: ShardedSet, tmp_path: Path
) -> None:
    unsharded = config.data.model_copy(update={"shards": None})
    from_cache = config.model_copy(update={"data": unsharded})
    status, said = start_pair_run(torchrun(), from_cache, tmp_path / "cached")
    assert status == 0, said
    assert [line["step"] for line in _history(tmp_path / "cached")] == [1, 2, 3, 4]
    absent = config.data.model_copy(update={"root": tmp_path / "nowhere"})
    config = config.model_copy(update={"data": absent})
    status, said = start_pair_run(torchrun(), config, tmp_path / "killed", "--kill-at", "3")
    assert status != 0
    assert [line["step"] for line in _history(tmp_path / "killed")][:2] == [1, 2], said
    assert len(_history(tmp_path / "killed")) < 4
    status, said = start_pair_run(torchrun(), config, tmp_path / "killed")
    assert status == 0, said
    assert _history(tmp_path / "killed") == _history(tmp_path / "cached")
    whole, again = _weights(tmp_path / "cached"), _weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_window_of_shards_is_resumed_equally(config: PretrainConfig, tmp_path: Path) -> None:
    windowed = config.data.model_copy(update={"window_shards": 1})
    config = config.model_copy(update={"data": windowed, "batch_size": 5})
    run(config, tmp_path / "whole" / "run", tmp_path / "cache")
    assert [line["step"] for line in _history(tmp_path / "whole")] == [1, 2, 3, 4, 5, 6]
    status, said = start_pair_run([sys.executable], config, tmp_path / "killed", "--kill-at", "3")
    assert status == -signal.SIGKILL, said
    run(config, tmp_path / "killed" / "run", tmp_path / "cache")
    assert _history(tmp_path / "killed") == _history(tmp_path / "whole")


@pytest.fixture
def at(tmp_path: Path, text_encoder: Path) -> Workplace:
    return workplace(tmp_path / "place", text_encoder)


def _prepare(at: Workplace, *options: str) -> tuple[str, ...]:
    return ("prepare", str(at.pretraining), "--cache", str(at.cache), "--workers", "0", *options)


def test_shards_are_prepared_and_take_the_place_of_the_data_sets(
    at: Workplace, tmp_path: Path
) -> None:
    address = str(tmp_path / "set")
    done = g2d(*_prepare(at, "--shards", address))
    assert done.exit_code == 0, done.output
    assert f"shards: 1 with 8 rows in {address}" in done.stdout
    shutil.rmtree(at.cache)
    shutil.move(at.folder / "data", at.folder / "elsewhere")
    named = ("--set", f"data.shards={address}")
    at.refuses("preprocess.size_px: 64", at.pretraining, *named, "--set", "preprocess.size_px=96")
    none = ("--set", f"data.shards={tmp_path / 'none'}")
    at.refuses("no complete shards", at.pretraining, *none, code=3)
    trained = at.start(at.pretraining, *named, "--set", "epochs=1")
    assert trained.exit_code == 0, trained.output
    shutil.move(at.folder / "elsewhere", at.folder / "data")  # its tables tell the labels
    tuned = ("--set", f"pretrained={at.out / CHECKPOINT}", "--out", str(tmp_path / "tuned"))
    done = g2d("finetune", str(at.finetuning), "--cache", str(at.cache), *named, *tuned)
    assert done.exit_code == 0, done.output
    assert not list(at.cache.rglob("images.npy"))


@pytest.mark.parametrize(
    ("address", "message", "code"),
    [
        ("s3://key:hush@bucket/set", "--shards: the address of shards holds no credentials", 2),
        ("ftp://host/set", "--shards: shards are in a folder or at s3://bucket/path", 2),
        ("s3://no-such-bucket/set", "s3://no-such-bucket/set answers NoSuchBucket for probe", 3),
        ("/proc/set", "data.shards: /proc/set: ", 3),
    ],
)
def test_unusable_addresses_are_refused_before_a_cache_is_built(
    at: Workplace, address: str, message: str, code: int
) -> None:
    result = g2d(*_prepare(at, "--shards", address))
    failed(result, message, code)
    assert "hush" not in result.output
    assert not at.cache.exists()
