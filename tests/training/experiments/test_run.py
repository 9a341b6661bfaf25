"""Tables of fine-tunings as a whole: filled, killed and resumed, and refused."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from radiograph.errors import TaskNotOffered
from tests.builders.distributed.torchrun import torchrun
from tests.builders.engine.killing import killed_at_its_first_checkpoint
from tests.builders.training.sets import tiny_tables
from training.config.experiments import TablesConfig
from training.config.pretrain import ImportedConfig
from training.engine import trainer
from training.experiments import run as running
from training.experiments.pages.render import markdown, table_entries
from training.experiments.plan import Cell, TableJob, cells, finetuning
from training.experiments.result_store import Result, ResultFolder, sha256
from training.experiments.run import (
    Failed,
    Missing,
    missing,
    one_line,
    pretraining_of,
    run,
    undone,
    with_validation,
)
from training.git_commit import current_commit
from training.pretrain.pretrain import pretrain

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tiny_tables.write_set(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pretrained(
    text_encoder: Path, data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    config = tiny_tables.pretraining(data, text_encoder)
    return pretrain(config, tmp_path_factory.mktemp("pretrained"), cache)


@pytest.fixture(scope="module")
def job(data: Path, text_encoder: Path, pretrained: Path) -> TableJob:
    """Table 1: five cells."""
    found = tiny_tables.job(data, text_encoder)
    return replace(found, checkpoints={"pretrained": pretrained})


@pytest.fixture(scope="module")
def filled(job: TableJob, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results, computed without a stop."""
    out = tmp_path_factory.mktemp("tables") / "run"
    assert [type(found) for found in run(job, out, cache)] == [Result] * 5
    return out


def test_every_cell_has_its_result_and_its_run(
    job: TableJob, filled: Path, pretrained: Path
) -> None:
    assert [cell.name for cell in cells(job)] == [
        "lungs-random-sound-1-s0",
        "lungs-encoder-sound-1-s0",
        "lungs-encoder_decoder-sound-1-s0",
        "pneumonia-random-sound-1-s0",
        "pneumonia-encoder-sound-1-s0",
    ]
    for cell in cells(job):
        result = ResultFolder(filled).result(cell)
        assert result
        metric = "dice" if cell.task == "lungs" else "auroc"
        assert set(result.found) == {metric}
        assert result.found[metric].n == 4
        assert result.commit == current_commit()
        assert result.checkpoint == ("" if cell.start == "random" else sha256(pretrained))
        assert (filled / "cells" / cell.name / "last.ckpt").is_file()


def test_the_figures_are_those_of_the_evaluation_of_the_run(job: TableJob, filled: Path) -> None:
    cell = cells(job)[4]
    folder = filled / "cells" / cell.name
    metrics = json.loads((folder / "assessment.json").read_text())["metrics"]
    (metric,) = [m for m in metrics if (m["label"], m["metric"]) == ("Pneumonia", "auroc")]
    result = ResultFolder(filled).result(cell)
    assert result
    assert (result.found["auroc"].value, result.found["auroc"].low) == (
        metric["value"],
        metric["low"],
    )


def test_a_run_validates_once_an_epoch(job: TableJob, filled: Path) -> None:
    notes = (filled / "cells" / cells(job)[0].name / "history.jsonl").read_text().splitlines()
    validated = [note["step"] for note in map(json.loads, notes) if "valid_loss" in note]
    assert validated == [3, 6]  # 12 rows in steps of 4, two epochs


def test_a_pool_that_is_smaller_than_a_step_is_repeated_as_in_the_run(job: TableJob) -> None:
    config = finetuning(job, cells(job)[0], None)
    schedule = job.config.recipes["linear"].look
    assert schedule
    for rows, processes, every in ((12, 1, 3), (12, 2, 1), (3, 1, 1), (15, 1, 3)):
        choose = with_validation(config, schedule, rows, processes).choose
        assert choose
        assert (choose.every, choose.by, choose.patience) == (every, "loss", 5)


@pytest.fixture
def fourth(job: TableJob) -> TableJob:
    """Table 4: two cells, of which `filled` has the second, and two without their data."""
    return replace(job, request=replace(job.request, table="4"))


def test_a_killed_table_resumes_and_computes_nothing_twice(
    fourth: TableJob, filled: Path, cache: Path, tmp_path: Path
) -> None:
    with killed_at_its_first_checkpoint():  # first within the first fine-tuning
        list(run(fourth, tmp_path, cache))
    assert undone(fourth, ResultFolder(tmp_path)) == cells(fourth)
    going = run(fourth, tmp_path, cache)  # then between two cells
    first = next(going)
    going.close()
    rest = list(run(fourth, tmp_path, cache))
    assert [found.cell for found in (first, *rest)] == cells(fourth)
    second = cells(fourth)[1]
    again, whole = (ResultFolder(out).result(second) for out in (tmp_path, filled))
    assert again
    assert whole
    assert again.found == whole.found
    finished = list(run(fourth, tmp_path, tmp_path / "no_cache_is_needed"))
    assert [type(found) for found in finished] == [Missing, Missing]


def test_weights_may_be_forgotten_once_they_are_measured(
    fourth: TableJob, cache: Path, tmp_path: Path
) -> None:
    only = replace(
        fourth, request=replace(fourth.request, fractions=(1.0,), only=(tiny_tables.SET,))
    )
    (found,) = run(only, tmp_path, cache, keep_weights=False)
    folder = ResultFolder(tmp_path)
    assert folder.result(found.cell) == found
    assert not list(folder.run(found.cell).glob("*.ckpt"))
    assert list(run(only, tmp_path, cache)) == []


def test_a_data_set_that_is_missing_is_named_and_stops_nothing(
    fourth: TableJob, filled: Path, cache: Path
) -> None:
    one = replace(fourth, request=replace(fourth.request, fractions=(1.0,)))
    (found,) = run(one, filled, cache)
    assert isinstance(found, Missing)
    assert f"no table {fourth.data / 'lost_set.csv'}" in found.reason
    folder = ResultFolder(filled)
    page = markdown(one, folder, table_entries(one, folder, {found.cell: found.reason}))
    assert "| random | missing (1) |  |" in page
    assert f"1. {found.reason}\n" in page


def test_a_data_set_that_is_broken_is_named_and_stops_nothing(
    job: TableJob, cache: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / f"{tiny_tables.SET}.csv").write_text("image,split\na.png,train\n")
    (broken / tiny_tables.SET).mkdir()
    fresh = replace(job, data=broken, request=replace(job.request, table="4", fractions=(1.0,)))
    found = list(run(fresh, tmp_path / "out", cache))
    assert [type(one) for one in found] == [Missing, Missing]
    assert all(isinstance(one, Missing) and one.reason for one in found)
    assert isinstance(found[0], Missing)
    assert "has no column patient_id" in found[0].reason


@pytest.mark.parametrize("part", ["finetune", "measure"])
def test_a_cell_that_fails_is_recorded_stops_no_other_and_is_tried_again(
    fourth: TableJob, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    two = replace(fourth, request=replace(fourth.request, only=(tiny_tables.SET,)))
    first, second = cells(two)
    folder, works, called = ResultFolder(tmp_path), getattr(running, part), []

    def fails_once(*given: object) -> object:
        called.append(given)
        if len(called) == 1:
            raise RuntimeError("size mismatch:\n  7 rows, 8 rows")
        return works(*given)

    monkeypatch.setattr(running, part, fails_once)
    failed, done = run(two, tmp_path, cache)
    reason = "RuntimeError: size mismatch:; 7 rows, 8 rows"
    assert failed == Failed(first, reason)
    assert isinstance(done, Result)
    assert done.cell == second
    assert folder.failure(first) == reason
    assert "Traceback" in (folder.run(first) / "failed.txt").read_text()
    page = markdown(two, folder, table_entries(two, folder, {}))
    assert f"1. failed: {reason}\n" in page
    (again,) = run(two, tmp_path, cache)
    assert isinstance(again, Result)
    assert again.cell == first
    assert folder.failure(first) == ""


def test_cells_that_failed_are_tried_after_the_rest(job: TableJob, tmp_path: Path) -> None:
    folder, every = ResultFolder(tmp_path), cells(job)
    folder.keep_failure(every[1], "out of memory", "Traceback")
    assert undone(job, folder) == [every[0], *every[2:], every[1]]


def test_an_interrupt_is_no_failure_of_a_cell(
    job: TableJob, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "finetune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run(job, tmp_path, cache))
    assert ResultFolder(tmp_path).failure(cells(job)[0]) == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TaskNotOffered("no head"), "no head"),
        (ValueError("two\nlines"), "two; lines"),
        (KeyError("name"), "KeyError: 'name'"),
        (OSError(), "OSError: "),
        (MemoryError("x" * 600), "MemoryError: [...]"),
    ],
)
def test_an_error_is_told_in_a_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_cell_killed_before_it_was_measured_is_not_trained_again(
    job: TableJob, filled: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = replace(job, request=replace(job.request, table="5", fractions=(1.0,)))
    cell = cells(only)[0]  # one that table 1 has too
    file = filled / "cells" / cell.name / "result.json"
    before = file.read_bytes()
    file.unlink()

    def step(*_: object) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(trainer.Trainer, "step", step)
    going = run(only, filled, cache)
    found = next(going)
    going.close()
    assert found.cell == cell
    assert json.loads(file.read_text())["found"] == json.loads(before)["found"]


def test_an_arm_is_pre_trained(job: TableJob, filled: Path, cache: Path) -> None:
    arms = replace(job, request=replace(job.request, table="5"))
    (shuffled,) = run(arms, filled, cache)  # the other row is the encoder of table 1
    assert isinstance(shuffled, Result)
    assert shuffled.cell.name == "pneumonia-shuffled-sound-1-s0"
    trained = filled / "pretrain" / "shuffled" / "last.ckpt"
    assert shuffled.checkpoint == sha256(trained)
    assert pretraining_of(job.config, trained).shuffle_masks


def test_an_arm_that_is_there_is_taken_as_it_is(
    job: TableJob, pretrained: Path, tmp_path: Path
) -> None:
    arms = replace(job, request=replace(job.request, table="5"), data=tmp_path)
    cell = cells(arms)[1]
    assert missing(arms, cell).count("no table") == 2  # its own data and the pre-training's
    there = replace(arms, checkpoints={**arms.checkpoints, "shuffled": pretrained})
    assert missing(there, cell).count("no table") == 1


def test_what_cannot_start_is_named(job: TableJob, tmp_path: Path) -> None:
    first, *_, last = cells(job)
    assert missing(job, first) == ""
    bare = replace(job, checkpoints={})
    assert missing(bare, last) == "no checkpoint: g2d pretrain g2d_paper, then --pretrained"
    imagenet = replace(first, start="imagenet")
    assert "names no weights to start from" in missing(job, imagenet)
    imported = ImportedConfig(
        file="encoder.pth", sha256="0" * 64, layout="encoder", from_file=("img_model",), fresh={}
    )
    pretraining = job.pretraining.model_copy(update={"imported": imported})
    half = replace(job, pretraining=pretraining)
    assert missing(half, replace(first, start="encoder_decoder")) == "encoder.pth holds no decoder"
    assert missing(half, replace(first, start="encoder")) == ""


def test_results_of_other_recipes_are_refused(job: TableJob, filled: Path, cache: Path) -> None:
    keys = tiny_tables.recipes()
    keys["recipes"]["linear"]["run"]["optimiser"]["lr"] = 2e-3
    other = replace(job, config=TablesConfig.model_validate(keys))
    with pytest.raises(ValueError, match="tables of another configuration; choose a new --out"):
        list(run(other, filled, cache))


def test_titles_rows_seeds_fractions_and_devices_may_change(job: TableJob, filled: Path) -> None:
    keys = tiny_tables.recipes()
    keys["tables"]["1"]["title"] = "Another"
    del keys["tables"]["5"]
    keys["shared"]["engine"]["workers"] = 2
    other = replace(job, config=TablesConfig.model_validate(keys), devices=2, processes=2)
    ResultFolder(filled).refuse_others(other.claim)
    more = replace(other, request=replace(other.request, seeds=(0, 1)))
    assert {cell.seed for cell in undone(more, ResultFolder(filled))} == {1}


def test_results_of_another_checkpoint_are_refused(
    job: TableJob, filled: Path, cache: Path, tmp_path: Path
) -> None:
    other = tmp_path / "last.ckpt"
    other.write_bytes(b"another")
    with pytest.raises(ValueError, match="is of another checkpoint; choose a new --out"):
        list(run(replace(job, checkpoints={"pretrained": other}), filled, cache))


def test_a_fine_tuning_is_no_pre_training(job: TableJob, filled: Path) -> None:
    file = filled / "cells" / cells(job)[0].name / "last.ckpt"
    with pytest.raises(ValueError, match="is the checkpoint of a finetune run"):
        pretraining_of(job.config, file)


def test_findings_are_classified_by_prompts_without_training(
    job: TableJob, cache: Path, tmp_path: Path
) -> None:
    untrained = replace(job, request=replace(job.request, table="2b"))
    (found,) = run(untrained, tmp_path, cache)
    assert isinstance(found, Result)
    assert found.cell == Cell("asked", "pretrained", "sound")
    (measured,) = found.found.values()
    assert measured.n == 4
    assert 0 <= measured.value <= 1


def _command(job: TableJob, out: Path, cache: Path, recipes: Path, *options: str) -> list[str]:
    recipes.write_text(yaml.safe_dump(tiny_tables.recipes(), sort_keys=False))
    named = {"--data": job.data, "--pretrained": job.checkpoints["pretrained"], "--out": out}
    named |= {"--cache": cache, "--recipes": recipes}
    given = [str(part) for pair in named.items() for part in pair]
    return ["table", job.request.table, *given, *options]


def test_two_processes_fill_a_table_together(fourth: TableJob, cache: Path, tmp_path: Path) -> None:
    command = _command(fourth, tmp_path / "out", cache, tmp_path / "mine.yaml")
    environment = os.environ | {
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*torchrun(), "-m", "g2d", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, *lost = cells(fourth)
    assert undone(fourth, ResultFolder(tmp_path / "out")) == lost
    assert done.stdout.count("**Table 4.") == 1
    assert done.stderr.count(f"{second.name}: auroc") == 1
    assert done.stderr.count(f"{lost[0].name}: no table") == 1
    folder = tmp_path / "out" / "cells" / first.name
    position = torch.load(folder / "last.ckpt", weights_only=True)["position"]
    assert (position["world"], position["joined"]) == (2, 4)
