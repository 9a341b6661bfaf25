"""Rows of a fine-tuning."""

from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.data.cache.cache import open_cache
from training.data.sampling.row_selection import training_pool


def test_rare_rows_occur_more_than_once_in_the_pool(text_encoder: Path, tmp_path: Path) -> None:
    kermany = tiny_runs.write_kermany(tmp_path / "data", count=4)
    cache = open_cache(kermany, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")
    config = tiny_runs.finetune_config(tmp_path, tiny_runs.model_config(text_encoder))
    repeat = {"boxes:Lung opacity": 3, "table:kermany_224": 2}
    pool = training_pool(cache, config.model_copy(update={"repeat": repeat}))
    assert pool == [0, 0, 0, 1, 1, 2, 2, 3, 3]
