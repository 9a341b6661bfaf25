"""The tables of the paper from one pre-training of 224 px, at the sizes of their recipes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from tests.builders.datasets import tiny_downstream
from tests.builders.training.runs import tiny_runs
from training.config.experiments import Keys, TablesConfig
from training.config.files import CONFIGS, load_tables
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.data.downstream_sets.cxr14 import FINDINGS
from training.engine.seeding import seed_everything
from training.experiments.plan import TableJob, TableRequest, cells, finetuning
from training.experiments.result_store import Result
from training.experiments.run import run
from training.finetune.initial_weights import load_pretrained
from training.pretrain.objective import Pretraining

TABLES = {"1": 42, "2a": 2, "2b": 4, "3": 9, "4": 27, "5": 51, "7": 9, "8": 6}
"""Table -> number of its cells."""


@pytest.fixture(scope="module")
def pretraining(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A pre-training of the miniature model at 224 px."""
    return PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=4,
        preprocess=PreprocessSpec(size_px=224),
        data=DataConfig(root=tmp_path_factory.mktemp("reports"), tables=("open_i",)),
        model=tiny_runs.model_config(text_encoder),
    )


@pytest.fixture(scope="module")
def checkpoint(pretraining: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint, with initial weights."""
    seed_everything(0)
    path = tmp_path_factory.mktemp("pretrained") / "last.ckpt"
    state = {"model": Pretraining(pretraining).state_dict(), "commit": "unknown"}
    torch.save(state | {"config": pretraining.model_dump_json()}, path)
    return path


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_is_planned_from_one_checkpoint(
    checkpoint: Path, table: str, tmp_path: Path
) -> None:
    command = ["table", table, "--dry-run", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(app, [*command, "--pretrained", str(checkpoint)])
    assert answer.exit_code == 3, answer.output  # no data set is there
    count, lines = TABLES[table], answer.stdout.splitlines()
    assert lines[0] == f"table {table}: {count} cells, 0 done, 0 to do, {count} waiting"
    reasons = [line for line in lines if " for this: " in line]
    assert len(set(reasons)) == len(reasons) <= 5
    assert len(answer.stdout) < 3000


def test_every_kind_of_cell_loads_the_one_checkpoint(
    pretraining: PretrainConfig, checkpoint: Path
) -> None:
    """Cells of equal recipes, tasks and starts load the same."""
    sizes = set()
    for table in ("1", "3", "4", "7"):
        job = TableJob(load_tables("tables"), pretraining, Path("data"), TableRequest(table))
        job = replace(job, request=replace(job.request, fractions=(1.0,)))
        for cell in cells(job):
            if cell.start in ("encoder", "encoder_decoder"):
                config = finetuning(job, cell, checkpoint)
                module, side = load_pretrained(config), config.preprocess.size_px // 32
                assert module.g2d.attnpool.grid == (side, side)
                sizes.add(config.preprocess.size_px)
    assert sizes == {224, 256}


def _third_table() -> Keys:
    """Return the shipped table 3, with one epoch in steps of four rows, and two labels."""
    keys: Keys = yaml.safe_load((CONFIGS / "tables.yaml").read_text())
    keys["shared"] |= {"engine": {"loggers": [], "accelerator": "cpu"}}
    keys["recipes"]["finetuned"]["run"] |= {"epochs": 1, "batch_size": 4}
    keys["tasks"]["cxr14_finetuned"]["labels"] = list(FINDINGS[:2])
    keys["tables"]["3"]["rows"] = {"g2d": keys["tables"]["3"]["rows"]["g2d"]}
    return keys


def test_two_cells_of_table_3_are_trained_from_it(
    pretraining: PretrainConfig, checkpoint: Path, tmp_path: Path
) -> None:
    images = [(f"{i}.png", str(i), FINDINGS[i % 2]) for i in range(20)]
    tiny_downstream.write_cxr14(tmp_path / "cxr14", images, [f"{i}.png" for i in range(16, 20)])
    config = TablesConfig.model_validate(_third_table())
    request = TableRequest("3", fractions=(0.5, 1.0))
    job = TableJob(config, pretraining, tmp_path, request, {"pretrained": checkpoint})
    found = list(run(job, tmp_path / "out", tmp_path / "cache"))
    assert [type(each) for each in found] == [Result, Result], found
    assert [each.cell.name for each in found] == [
        "cxr14_finetuned-encoder-sound-0.5-s0",
        "cxr14_finetuned-encoder-sound-1-s0",
    ]
    for each in found:
        assert isinstance(each, Result)
        assert each.found["auroc"].n == 4
        weights = torch.load(tmp_path / "out/cells" / each.cell.name / "last.ckpt")["model"]
        assert len(weights["g2d.attnpool.positional_embedding"]) == 8 * 8 + 1
