"""A row that ends the process that renders it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.deadly import render
from tests.builders.training.tiny_runs import SIZE_PX
from tests.builders.training.tiny_sets import write_pairs
from training.config.run import PairsConfig
from training.data.cache import worker_pool
from training.data.cache.chunks import RECORD, Chunk
from training.data.rows.reader import Row

SPEC = PreprocessSpec(size_px=SIZE_PX)
LINE = {"text": "The lungs are clear.", "split": "train", "patient": "p"}


def _pairs(root: Path, count: int, written: int | None = None) -> PairsConfig:
    lines = [LINE | {"image": f"{i}.png"} for i in range(count)]
    return write_pairs(root, lines, count if written is None else written)


_KILLED = """
import sys
from pathlib import Path
if __name__ == "__main__":
    from radiograph.preprocess import PreprocessSpec
    from training.config.run import PairsConfig
    from training.data.cache import build
    from training.data.cache.cache import open_cache
    build._CHUNK_BYTES = 0
    root = Path(sys.argv[1])
    config = PairsConfig(root=root / "data", tables=("pairs",), licences=("noncommercial",))
    open_cache(config, PreprocessSpec(size_px=64), root / "cache", workers=1)
"""


def test_a_row_that_ends_its_process_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pairs(tmp_path / "data", 3)
    rows = tuple(
        Row("pairs", f"{i}.png", "p", "train", "Clear.", (), "PA", "", "", "", "open")
        for i in range(3)
    )
    chunk = Chunk(0, rows, tmp_path / "data", SPEC, tmp_path)
    survives, first = worker_pool._survives, iter([True])

    def survives_but_first(function: Callable[..., None], *arguments: object) -> bool:
        return not next(first, False) and survives(function, *arguments)

    monkeypatch.setattr(
        worker_pool, "_survives", survives_but_first
    )  # the whole chunk, then each row
    worker_pool.render_alone(chunk, render)
    record = RECORD.validate_json(chunk.path("json").read_bytes())
    assert [(x.image, x.reason) for x in record.left_out] == [("1.png", "ended the process")]
    assert [sample.row.image for sample in record.samples] == ["0.png", "2.png"]
