"""Licences by their names."""

from pathlib import Path

import pytest

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs.tiny_runs import SIZE_PX, picture, record, write_table
from training.config.run import DataConfig
from training.data.cache.cache import open_cache
from training.data.rows.licences import is_share_alike


@pytest.mark.parametrize("licence", ["CC BY-SA", "CC BY-NC-SA 4.0", "CC-BY-SA-3.0", "ShareAlike"])
def test_share_alike_licences(licence: str) -> None:
    assert is_share_alike(licence)


@pytest.mark.parametrize("licence", ["CC BY 4.0", "CC0-1.0", "MIT (San Diego)", "USA government"])
def test_other_licences(licence: str) -> None:
    assert not is_share_alike(licence)


def test_a_run_may_leave_share_alike_rows_out(tmp_path: Path) -> None:
    files = {"t/a.png": picture(0), "t/b.png": picture(1)}
    rows = [record("t/a.png", licence="CC BY 4.0"), record("t/b.png", licence="CC BY-SA 4.0")]
    write_table(tmp_path, "t", rows, files, tar=False)
    every, spec = DataConfig(root=tmp_path, tables=("t",)), PreprocessSpec(size_px=SIZE_PX)
    assert len(open_cache(every, spec, tmp_path / "cache").samples) == 2
    without = every.model_copy(update={"share_alike": False})
    cache = open_cache(without, spec, tmp_path / "cache")
    assert [sample.row.image for sample in cache.samples] == ["t/a.png"]
    assert cache.left_out == {"share-alike licence": 1}
