"""Predictions of a split: truth in source pixels, read one by one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel


def test_the_truth_is_in_source_pixels(predictions: list[Prediction]) -> None:
    assert len(predictions) == 8
    assert predictions[0].counted.shape == (SIZE_PX, SIZE_PX)
    assert predictions[0].masks["Right lung"].sum() == 48 * 22
    assert predictions[0].boxes["Left lung"] == [(38.0, 8.0, 56.0, 48.0)]
    assert predictions[0].boxes["Lung opacity"] == [(10.0, 12.0, 24.0, 30.0)]
    assert predictions[1].boxes["Lung opacity"] == []  # normal: there is none
    assert "Lung opacity" not in predictions[2].boxes  # pneumonia without boxes: not known


def test_a_limit_spreads_evenly_and_other_licences_are_left_out(
    evaluated_run: TrainedModel,
) -> None:
    few = list(predict_split(evaluated_run, "train", ("open",), limit=4))
    assert [s.row.image for s in few] == [f"kermany_224/{i}.png" for i in (0, 2, 4, 6)]
    assert not list(predict_split(evaluated_run, "train", ("noncommercial",)))
    assert not list(predict_split(evaluated_run, "test", ("open",)))


def test_a_radiograph_that_cannot_be_read_is_left_out_and_named(
    evaluated_run: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_runs.write_kermany(tmp_path)
    (tmp_path / "kermany_224" / "3.png").write_bytes(b"no picture")
    (tmp_path / "kermany_224" / "5.png").unlink()
    elsewhere = replace(
        evaluated_run, config=evaluated_run.config.model_copy(update={"data": data})
    )
    images = [one.row.image for one in predict_split(elsewhere, "train", ("open",))]
    assert images == [f"kermany_224/{i}.png" for i in (0, 1, 2, 4, 6, 7)]
    named = capsys.readouterr().err
    assert named.count("left out, kermany_224 kermany_224/") == 2
    assert "kermany_224/3.png: " in named


def test_a_mask_of_another_size_than_its_image_is_no_truth(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    name = "kermany_224"
    small = tiny_runs.png(np.full((SIZE_PX // 2, SIZE_PX // 2), 255, dtype=np.uint8))
    files = {f"{name}/0.png": tiny_runs.picture(0), f"{name}/m.png": small}
    masks = {"Left_Lung": f"{name}/m.png"}
    row = tiny_runs.record(f"{name}/0.png", labels="normal", class_masks=masks)
    tiny_runs.write_table(tmp_path, name, [row], files, tar=True)
    data = evaluated_run.config.data.model_copy(update={"root": tmp_path})
    moved = replace(evaluated_run, config=evaluated_run.config.model_copy(update={"data": data}))
    (only,) = predict_split(moved, "train", ("open",))
    assert only.masks == {}
    assert only.counted.all()


def test_predictions_do_not_depend_on_the_batches(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    alone = list(predict_split(evaluated_run, "train", ("open",), batch_size=1))
    for one, in_batch in zip(alone, predictions, strict=True):
        assert one.row == in_batch.row
        for head, raw in one.outputs.items():
            for name, value in raw.items():
                np.testing.assert_allclose(value, in_batch.outputs[head][name], atol=1e-4)
