"""Parts of a page that compare pre-training arms: differences, losses and the picture."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.builders.training.runs.tiny_runs import SIZE_PX
from tests.builders.training.sets import tiny_tables
from training.data.cache.cache import open_cache
from training.experiments.pages.paired_differences import (
    differences,
    draw,
    open_examples,
    pretraining_report,
)
from training.experiments.plan import TableJob
from training.experiments.result_store import ResultFolder
from training.pretrain.pretrain import pretrain


@pytest.fixture(scope="module")
def job(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> TableJob:
    """The miniature ablation and its data."""
    root = tmp_path_factory.mktemp("tables")
    tiny_tables.write_set(root)
    return tiny_tables.ablation_job(root, text_encoder)


def test_differences_are_paired_by_seed(job: TableJob) -> None:
    figures: dict[tuple[str, float | None], dict[int | None, float]]
    figures = {
        ("pseudo", 0.5): {0: 0.61, 1: 0.72, 2: 0.83},
        ("random", 0.5): {0: 0.6, 1: 0.7, 2: 0.8},
        ("pseudo_decoder", 0.5): {1: 0.6, 2: 0.9},
    }
    lines = differences(job.table, [0.5], figures).splitlines()
    assert lines == [
        "| First | Second | 50 % |",
        "| --- | --- | --- |",
        "| pseudo with decoder | random | +0.0 ± 14.1, higher in 1 of 2 |",
        "| pseudo | random | +2.0 ± 1.0, higher in 3 of 3 |",
    ]


def test_a_pair_needs_both_of_its_rows(job: TableJob) -> None:
    figures: dict[tuple[str, float | None], dict[int | None, float]]
    figures = {("pseudo", 0.5): {0: 0.5}, ("random", 0.5): {}}
    lines = differences(job.table, [0.5], figures).splitlines()
    assert lines[2:] == ["| pseudo | random | missing |"]


def test_the_time_of_a_resumed_pre_training_is_that_of_all_starts(
    job: TableJob, tmp_path: Path
) -> None:
    folder = ResultFolder(tmp_path)
    run = folder.pretraining("pseudo", 1)
    run.mkdir(parents=True)
    notes = [(1, 2.0), (2, 4.0), (3, 1.5), (4, 3.0)]  # killed after the second
    lines = [{"step": s, "minutes": m, "vla": 5.0, "pa": 0.5, "total": 5.5} for s, m in notes]
    (run / "history.jsonl").write_text("\n".join(map(json.dumps, lines)))
    request = dataclasses.replace(job.request, seeds=(1, 2))
    report = pretraining_report(dataclasses.replace(job, request=request), folder)
    assert "Pre-training on `kermany_224`: train rows, licences open; `resnet18` at 64 px" in report
    assert "epochs: 2, in batches of 6. Seeds 1, 2; commit none." in report
    assert "| pseudo | 1 | 4 | 7.0 | 5.00 | 0.500 |" in report
    assert "| pseudo | 2 | missing |" in report
    assert "| none |" not in report  # no row of the table starts from it


def test_the_picture_has_a_line_for_each_radiograph(job: TableJob, tmp_path: Path) -> None:
    folder, cache = ResultFolder(tmp_path / "out"), tmp_path / "cache"
    once = job.pretraining.model_copy(update={"epochs": 1})
    pretrain(once, folder.pretraining("pseudo", 0), cache)
    draw(job, folder, cache, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (4 * SIZE_PX, 2 * SIZE_PX))


def test_only_open_radiographs_are_shown(job: TableJob, tmp_path: Path) -> None:
    cache = open_cache(job.pretraining.data, job.pretraining.preprocess, tmp_path)
    assert open_examples(cache, tiny_tables.SET, "Pneumonia") == [17, 16]
    closed = [
        dataclasses.replace(s, row=dataclasses.replace(s.row, licence_class="noncommercial"))
        if i in (16, 17)
        else s
        for i, s in enumerate(cache.samples)
    ]
    left = dataclasses.replace(cache, samples=closed)
    assert open_examples(left, tiny_tables.SET, "Pneumonia") == [19, 18]


def test_a_picture_needs_a_pre_trained_decoder(job: TableJob, tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no pre-training with a decoder"):
        draw(job, folder, tmp_path / "cache", tmp_path / "picture.png")
