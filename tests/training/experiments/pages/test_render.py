"""Tables as Markdown and CSV, from figures that are known by hand."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.training.sets import tiny_tables
from training.experiments.pages.render import CSV_COLUMNS, NOT_YET, as_csv, markdown, table_entries
from training.experiments.plan import Cell, TableJob, cells
from training.experiments.result_store import Measured, ProbeTraining, Result, ResultFolder


@pytest.fixture
def job(tmp_path: Path) -> TableJob:
    """Table 1 at one fraction, two seeds."""
    return tiny_tables.job(tmp_path, tmp_path, seeds=(0, 1))


def _keep(out: Path, values: Mapping[Cell, float]) -> ResultFolder:
    folder = ResultFolder(out)
    for cell, value in values.items():
        metric = "dice" if cell.task == "lungs" else "auroc"
        found = {metric: Measured(value, value - 0.1, value + 0.1, 4)}
        folder.keep(Result(cell, found, "", 1.0, "c" * 40))
    return folder


def _page(job: TableJob, folder: ResultFolder, reasons: Mapping[Cell, str]) -> str:
    return markdown(job, folder, table_entries(job, folder, reasons))


def _cell(task: str, start: str, seed: int) -> Cell:
    return Cell(task, start, "sound", "", 1.0, seed)


def test_a_table_has_ours_beside_the_paper_s(job: TableJob, tmp_path: Path) -> None:
    values = {
        _cell("lungs", "random", 0): 0.5,
        _cell("lungs", "random", 1): 0.6,
        _cell("lungs", "encoder", 0): 0.65,
        _cell("pneumonia", "encoder", 0): 0.9,
        _cell("pneumonia", "encoder", 1): 0.9,
    }
    folder = _keep(tmp_path, values)
    lost = {_cell("lungs", "encoder_decoder", seed): "no masks.csv in /data" for seed in (0, 1)}
    page = _page(job, folder, lost)
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


def test_the_csv_has_a_line_for_each_place(job: TableJob, tmp_path: Path) -> None:
    values = {_cell("lungs", "random", 0): 0.5, _cell("lungs", "random", 1): 0.6}
    folder = _keep(tmp_path, values | {_cell("lungs", "encoder", 1): 0.25})
    lines = list(csv.DictReader(io.StringIO(as_csv(job, table_entries(job, folder, {})))))
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


def test_one_seed_has_its_interval(job: TableJob, tmp_path: Path) -> None:
    one = replace(job, request=replace(job.request, seeds=(0,)))
    folder = _keep(tmp_path, dict.fromkeys(cells(one), 0.5))
    page = _page(one, folder, {})
    assert "seeds 0: with its 95 % interval. 5 of 5 figures are there." in page
    assert "| random | 50.0 (40.0 to 60.0) | 54.3 |" in page
    assert "Missing" not in page


def test_groups_and_protocols_have_their_own_headings(tmp_path: Path) -> None:
    job = tiny_tables.job(tmp_path, tmp_path, "5", protocols=("sound", "mgca"))
    page = _page(job, ResultFolder(tmp_path), {})
    assert page.index("### Pneumonia, AUC, protocol sound") < page.index(", AUC, protocol mgca")
    assert page.count("| What | Row | 100 % | paper |") == 2
    assert page.count("| masks | shuffled | missing (1) |  |") == 2


def test_several_metrics_of_a_task_stand_beside_each_other(tmp_path: Path) -> None:
    job = tiny_tables.job(tmp_path, tmp_path, "2b")
    columns = job.config.tables["2b"].columns
    more = columns | {"f1": columns["auroc"].model_copy(update={"metric": "f1", "title": "F1"})}
    table = job.table.model_copy(update={"columns": more})
    both = replace(job, config=job.config.model_copy(update={"tables": {"2b": table}}))
    folder = ResultFolder(tmp_path)
    found = {"auroc": Measured(0.876, None, None, 9), "f1": Measured(0.5, None, None, 9)}
    folder.keep(Result(cells(both)[0], found, "", 1.0, "c" * 40))
    page = _page(both, folder, {})
    assert "### Pneumonia\n\n| Row | AUC | paper | F1 | paper |\n" in page
    assert "| G2D | 87.6 |  | 50.0 |  |" in page


def test_a_figure_that_a_result_does_not_hold_is_missing(job: TableJob, tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path)
    cell = _cell("lungs", "random", 0)
    folder.keep(Result(cell, {"iou": Measured(0.5, None, None, 4)}, "", 1.0, "c" * 40))
    assert "| random | missing (1) | 54.3 |" in _page(job, folder, {})


def test_an_ablation_has_its_figures_and_their_paired_differences(tmp_path: Path) -> None:
    """The spreads of the rows overlap, but the pairs differ by 1, 2 and 3 points."""
    job = tiny_tables.ablation_job(tmp_path, tmp_path, seeds=(0, 1, 2), fractions=(0.5,))
    figures = {"random": (0.6, 0.7, 0.8), "pseudo": (0.61, 0.72, 0.83)}
    folder = ResultFolder(tmp_path)
    for cell in cells(job):
        seed, metric = cell.seed or 0, "dice" if cell.task == "lungs" else "auroc"
        found = {metric: Measured(figures[cell.start][seed], None, None, 4)}
        probe = ProbeTraining(0.5, 1, 3 + seed, 3)
        folder.keep(Result(cell, found, "", 60.0, "c" * 40, probe))
    page = _page(job, folder, {})
    assert "seeds 0, 1, 2: mean ± sample deviation. 15 of 15 figures are there." in page
    assert "The probes took 15 minutes in all." in page
    assert page.index("| Arm | Seed |") < page.index("### Lungs, Dice")
    assert (
        "### Pneumonia, AUROC\n\n"
        "| Row | 50 % (3 to 5 images) |\n"
        "| --- | --- |\n"
        "| pseudo | 72.0 ± 11.0 |\n"
        "| pseudo with decoder | / |\n"
        "| random | 70.0 ± 10.0 |\n\n"
        "First minus second, paired by seed:\n\n"
        "| First | Second | 50 % |\n"
        "| --- | --- | --- |\n"
        "| pseudo | random | +2.0 ± 1.0, higher in 3 of 3 |\n"
    ) in page
    assert "| pseudo with decoder | random | +2.0 ± 1.0, higher in 3 of 3 |" in page


def test_missing_seeds_of_an_ablation_are_named(tmp_path: Path) -> None:
    job = tiny_tables.ablation_job(tmp_path, tmp_path, seeds=(0, 1, 2), fractions=(0.5,))
    folder = ResultFolder(tmp_path)
    for seed, value in enumerate((0.6, 0.8)):
        cell = Cell("lungs", "random", "sound", "", 0.5, seed)
        folder.keep(Result(cell, {"dice": Measured(value, None, None, 4)}, "", 60.0, "c" * 40))
    page = _page(job, folder, {})
    assert "2 of 15 figures are there" in page
    assert "| random | 70.0 ± 14.1, 2 of 3 seeds (1) |" in page
    assert "| pseudo | missing (1) |" in page
    assert "| pseudo | random | missing |" in page
    assert f"Missing:\n\n1. {NOT_YET}\n" in page
