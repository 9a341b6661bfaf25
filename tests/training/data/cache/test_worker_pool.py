"""A row that ends the process that renders it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.preprocess import PreprocessSpec
from tests.builders.datasets.tiny_sets import write_pairs
from tests.builders.training.parts.deadly import render
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.data.cache import worker_pool
from training.data.cache.chunks import RECORD, Chunk
from training.data.rows.reader import Row

SPEC = PreprocessSpec(size_px=SIZE_PX)


def test_a_row_that_ends_its_process_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {"image": f"{i}.png", "text": "Clear lungs.", "split": "train", "patient": "p"}
        for i in range(3)
    ]
    write_pairs(tmp_path / "data", lines, images=3)
    rows = tuple(
        Row("pairs", f"{i}.png", "p", "train", "Clear.", (), "PA", "", "", "", "open")
        for i in range(3)
    )
    chunk = Chunk(0, rows, tmp_path / "data", SPEC, tmp_path)
    survives, first = worker_pool._survives, iter([True])

    def survives_but_first(function: Callable[..., None], *arguments: object) -> bool:
        return not next(first, False) and survives(function, *arguments)

    # The first call, for the whole chunk, says that the process died; then each row is tried.
    monkeypatch.setattr(worker_pool, "_survives", survives_but_first)
    worker_pool.render_alone(chunk, render)
    record = RECORD.validate_json(chunk.path("json").read_bytes())
    assert [(x.image, x.reason) for x in record.left_out] == [("1.png", "ended the process")]
    assert [sample.row.image for sample in record.samples] == ["0.png", "2.png"]
