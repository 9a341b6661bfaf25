"""Folders of results: files are whole, and foreign files are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.training.sets import tiny_tables
from training.config.experiments import TablesConfig
from training.experiments.plan import Cell, TableJob, cells
from training.experiments.result_store import Measured, ProbeTraining, Result, ResultFolder
from training.experiments.run import run


@pytest.fixture(params=["finetuned", "probed"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> TableJob:
    """A table of each kind; nothing of it is computed."""
    build = tiny_tables.job if request.param == "finetuned" else tiny_tables.ablation_job
    return build(tmp_path, tmp_path)


@pytest.fixture
def folder(job: TableJob, tmp_path: Path) -> ResultFolder:
    """Its folder, claimed."""
    claimed = ResultFolder(tmp_path / "out")
    claimed.claim(job.claim)
    return claimed


def _result(cell: Cell) -> Result:
    found = {"dice": Measured(0.5, None, None, 4)}
    return Result(cell, found, "", 1.0, "c" * 40, ProbeTraining(0.6, 2, 8, 7))


def test_a_result_is_read_as_it_was_written(job: TableJob, folder: ResultFolder) -> None:
    result = _result(cells(job)[0])
    folder.keep(result)
    assert folder.result(result.cell) == result
    assert folder.result(cells(job)[1]) is None
    files = {path.name for path in folder.path.rglob("*") if path.is_file()}
    assert files == {"config.json", "result.json"}  # and no part of one


def test_a_result_from_before_a_key_was_known_is_read(job: TableJob, folder: ResultFolder) -> None:
    result = replace(_result(cells(job)[0]), probe=None)
    folder.keep(result)
    file = folder.run(result.cell) / "result.json"
    keys = json.loads(file.read_text())
    del keys["probe"]
    if not result.cell.decoder:
        del keys["cell"]["decoder"]
    file.write_text(json.dumps(keys))
    assert folder.result(result.cell) == result


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"cell": {"task": 1}, "found": {}}', '{"found": {"a": 1}}']
)
def test_a_broken_result_is_named(job: TableJob, folder: ResultFolder, content: str) -> None:
    file = folder.run(cells(job)[0]) / "result.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(ValueError, match=r"lungs-.*result\.json is not a result; remove it"):
        list(run(job, folder.path, folder.path / "cache"))


def test_a_result_under_another_name_is_refused(job: TableJob, folder: ResultFolder) -> None:
    first, second = cells(job)[:2]
    folder.keep(_result(first))
    folder.run(first).rename(folder.run(second))
    with pytest.raises(ValueError, match="result of another cell"):
        folder.result(second)


def test_a_result_of_another_checkpoint_is_refused(job: TableJob, folder: ResultFolder) -> None:
    cell = cells(job)[0]
    folder.keep(replace(_result(cell), checkpoint="a" * 64))
    assert folder.result(cell, "a" * 64)
    with pytest.raises(ValueError, match="is of another checkpoint; choose a new --out"):
        folder.result(cell, "b" * 64)


def test_results_of_another_configuration_are_refused(job: TableJob, folder: ResultFolder) -> None:
    other = replace(job, pretraining=job.pretraining.model_copy(update={"epochs": 9}))
    with pytest.raises(ValueError, match="tables of another configuration; choose a new --out"):
        list(run(other, folder.path, folder.path / "cache"))
    with pytest.raises(ValueError, match="tables of another configuration"):
        folder.check(other.claim)


def test_rows_and_seeds_of_a_folder_may_change(tmp_path: Path) -> None:
    job = tiny_tables.ablation_job(tmp_path, tmp_path)
    folder = ResultFolder(tmp_path)
    folder.claim(job.claim)
    keys = tiny_tables.ablation()
    del keys["tables"]["ablation"]["rows"]["pseudo_decoder"], keys["tables"]["ablation"]["pairs"]
    keys["tables"]["ablation"]["seeds"] = [0, 1]
    folder.check(replace(job, config=TablesConfig.model_validate(keys)).claim)


def test_a_folder_from_before_a_key_was_known_still_belongs(
    job: TableJob, folder: ResultFolder
) -> None:
    file = folder.path / "config.json"
    known = json.loads(file.read_text())
    assert known["pretraining"].pop("shuffle_masks") is False
    file.write_text(json.dumps(known))
    folder.check(job.claim)


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "pretrain"}'])
def test_a_folder_of_something_else_is_refused(job: TableJob, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="another configuration"):
        list(run(job, tmp_path, tmp_path / "cache"))


def test_an_ablation_of_an_earlier_version_is_refused_by_name(
    job: TableJob, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{\n "kind": "ablation",\n "arms": ["random"]\n}')
    with pytest.raises(ValueError, match=r"in the format of an earlier version.* new --out"):
        list(run(job, tmp_path, tmp_path / "cache"))


def test_a_folder_without_tables_is_told_apart(job: TableJob, tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path / "nothing")
    folder.refuse_others(job.claim)
    with pytest.raises(FileNotFoundError, match="holds no tables"):
        folder.check(job.claim)
