"""What a table looks like, from figures that are known by hand."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.training import tiny_tables
from training.experiments.plan import Cell, Job, cells
from training.experiments.render import CSV_COLUMNS, NOT_YET, as_csv, markdown, places
from training.experiments.result_store import Folder, Measured, Result


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Table 1 at one fraction, two seeds."""
    return tiny_tables.job(tmp_path, tmp_path, seeds=(0, 1))


def _keep(out: Path, values: Mapping[Cell, float]) -> Folder:
    folder = Folder(out)
    for cell, value in values.items():
        metric = "dice" if cell.task == "lungs" else "auroc"
        found = {metric: Measured(value, value - 0.1, value + 0.1, 4)}
        folder.keep(Result(cell, found, "", 1.0, "c" * 40))
    return folder


def _cell(task: str, start: str, seed: int) -> Cell:
    return Cell(task, start, "sound", "", 1.0, seed)


def test_a_table_has_ours_beside_the_paper_s(job: Job, tmp_path: Path) -> None:
    values = {
        _cell("lungs", "random", 0): 0.5,
        _cell("lungs", "random", 1): 0.6,
        _cell("lungs", "encoder", 0): 0.65,
        _cell("pneumonia", "encoder", 0): 0.9,
        _cell("pneumonia", "encoder", 1): 0.9,
    }
    folder = _keep(tmp_path, values)
    lost = {_cell("lungs", "encoder_decoder", seed): "no masks.csv in /data" for seed in (0, 1)}
    page = markdown(job, places(job, folder, lost))
    assert page == (
        "**Table 1. First.** Test split, percent; seeds 0, 1: mean ± sample deviation. 5 of 10 "
        "figures are there. Paper: arXiv 2312.01522; where it is empty, we do not know what the "
        "paper prints.\n\n"
        "### Lungs, Dice\n\n"
        "| Row | 100 % | paper |\n"
        "| --- | --- | --- |\n"
        "| random | 55.0 ± 7.1 | 54.3 |\n"
        "| encoder | 65.0 (55.0 to 75.0), 1 of 2 seeds (1) | 66.8 |\n"
        "| encoder_decoder | missing (2) | 68.4 |\n"
        "| ConVIRT |  | 59.9 |\n\n"
        "### Pneumonia, AUC\n\n"
        "| Row | 100 % | paper |\n"
        "| --- | --- | --- |\n"
        "| random | missing (1) |  |\n"
        "| encoder | 90.0 ± 0.0 |  |\n"
        "| encoder_decoder | / |  |\n"
        "| ConVIRT |  |  |\n\n"
        "Missing:\n\n"
        f"1. {NOT_YET}\n"
        "2. no masks.csv in /data\n"
    )


def test_the_csv_has_a_line_for_each_place(job: Job, tmp_path: Path) -> None:
    values = {_cell("lungs", "random", 0): 0.5, _cell("lungs", "random", 1): 0.6}
    folder = _keep(tmp_path, values | {_cell("lungs", "encoder", 1): 0.25})
    lines = list(csv.DictReader(io.StringIO(as_csv(job, places(job, folder, {})))))
    assert len(lines) == 8
    assert tuple(lines[0]) == CSV_COLUMNS
    usual = dict.fromkeys(CSV_COLUMNS, "") | {
        "table": "1", "protocol": "sound", "data": tiny_tables.SET, "task": "segment",
        "metric": "dice", "fraction": "1",
    }  # fmt: skip
    assert lines[0] == usual | {
        "row": "random", "mean": "55.00", "spread": "7.07", "seeds": "2", "images": "4",
        "paper": "54.3",
    }  # fmt: skip
    assert lines[1] == usual | {
        "row": "encoder", "mean": "25.00", "low": "15.00", "high": "35.00", "seeds": "1",
        "images": "4", "paper": "66.8", "missing": NOT_YET,
    }  # fmt: skip
    assert lines[3] == usual | {"row": "ConVIRT", "paper": "59.9"}


def test_one_seed_has_its_interval(job: Job, tmp_path: Path) -> None:
    one = replace(job, asked=replace(job.asked, seeds=(0,)))
    folder = _keep(tmp_path, dict.fromkeys(cells(one), 0.5))
    page = markdown(one, places(one, folder, {}))
    assert "seeds 0: with its 95 % interval. 5 of 5 figures are there." in page
    assert "| random | 50.0 (40.0 to 60.0) | 54.3 |" in page
    assert "Missing" not in page


def test_groups_and_protocols_are_told_apart(tmp_path: Path) -> None:
    job = tiny_tables.job(tmp_path, tmp_path, "5", protocols=("sound", "mgca"))
    page = markdown(job, places(job, Folder(tmp_path), {}))
    assert page.index("### Pneumonia, AUC, protocol sound") < page.index(", AUC, protocol mgca")
    assert page.count("| What | Row | 100 % | paper |") == 2
    assert page.count("| masks | shuffled | missing (1) |  |") == 2


def test_several_metrics_of_a_task_stand_beside_each_other(tmp_path: Path) -> None:
    job = tiny_tables.job(tmp_path, tmp_path, "2b")
    columns = job.config.tables["2b"].columns
    more = columns | {"f1": columns["auroc"].model_copy(update={"metric": "f1", "title": "F1"})}
    table = job.table.model_copy(update={"columns": more})
    both = replace(job, config=job.config.model_copy(update={"tables": {"2b": table}}))
    folder = Folder(tmp_path)
    found = {"auroc": Measured(0.876, None, None, 9), "f1": Measured(0.5, None, None, 9)}
    folder.keep(Result(cells(both)[0], found, "", 1.0, "c" * 40))
    page = markdown(both, places(both, folder, {}))
    assert "### Pneumonia\n\n| Row | AUC | paper | F1 | paper |\n" in page
    assert "| G2D | 87.6 |  | 50.0 |  |" in page


def test_a_figure_that_a_result_does_not_hold_is_missing(job: Job, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    cell = _cell("lungs", "random", 0)
    folder.keep(Result(cell, {"iou": Measured(0.5, None, None, 4)}, "", 1.0, "c" * 40))
    assert "| random | missing (1) | 54.3 |" in markdown(job, places(job, folder, {}))
