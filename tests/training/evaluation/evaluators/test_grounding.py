"""What a phrase is compared with: masks, or boxes of findings, of a row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.evaluation.evaluators.grounding import place_of, region_figures
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, load_run


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


@pytest.fixture(scope="module")
def seen(model: TrainedModel) -> Prediction:
    """The radiograph with an opacity's box."""
    return next(predict_split(model, "train", ("open",)))


def test_boxes_of_a_finding_are_filled_and_kept(seen: Prediction) -> None:
    place = place_of(seen, "Lung opacity")
    assert place is not None
    assert place.boxes == ((10.0, 12.0, 24.0, 30.0),)
    assert place.mask[12:30, 10:24].all()
    assert place.mask.sum() == 18 * 14


def test_a_mask_goes_before_boxes_and_gives_one_around_each_part(seen: Prediction) -> None:
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    mask[2:4, 5:9] = mask[40:50, 40:50] = True
    place = place_of(replace(seen, masks={"Lung opacity": mask}), "Lung opacity")
    assert place is not None
    assert place.boxes == ((5.0, 2.0, 9.0, 4.0), (40.0, 40.0, 50.0, 50.0))
    assert np.array_equal(place.mask, mask)


def test_an_organ_is_never_compared_with_its_box(seen: Prediction) -> None:
    assert place_of(seen, "Left lung") is not None
    assert "Left lung" in seen.boxes
    assert place_of(replace(seen, masks={}), "Left lung") is None


def test_what_is_not_known_or_nowhere_has_no_place(seen: Prediction) -> None:
    empty = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    assert place_of(seen, "Pneumothorax") is None
    assert place_of(replace(seen, boxes={"Lung opacity": []}), "Lung opacity") is None
    assert place_of(replace(seen, masks={"Lung opacity": empty}), "Lung opacity") is None
    outside = {"Lung opacity": [(200.0, 200.0, 300.0, 300.0), (-9.0, -9.0, -1.0, -1.0)]}
    assert place_of(replace(seen, boxes=outside), "Lung opacity") is None


def test_a_region_is_measured_by_hand(seen: Prediction) -> None:
    place = place_of(seen, "Lung opacity")
    assert place is not None
    heat = np.where(place.mask, 0.9, 0.1).astype(np.float32)
    heat[40:58, 40:54] = 0.9  # as large again, elsewhere
    found = region_figures(heat, 0.45, place, np.ones_like(place.mask))
    assert found["iou"] == pytest.approx(1 / 2)
    assert found["dice"] == pytest.approx(2 / 3)
    assert found["recall"] == 1.0
    assert found["cnr"] > 1


def test_a_mask_of_another_size_than_its_image_is_no_truth(
    model: TrainedModel, tmp_path: Path
) -> None:
    name = "kermany_224"
    small = tiny_runs.png(np.full((SIZE_PX // 2, SIZE_PX // 2), 255, dtype=np.uint8))
    files = {f"{name}/0.png": tiny_runs.picture(0), f"{name}/m.png": small}
    masks = {"Left_Lung": f"{name}/m.png"}
    row = tiny_runs.record(f"{name}/0.png", labels="normal", class_masks=masks)
    tiny_runs.write_table(tmp_path, name, [row], files, tar=True)
    data = model.config.data.model_copy(update={"root": tmp_path})
    moved = replace(model, config=model.config.model_copy(update={"data": data}))
    (only,) = predict_split(moved, "train", ("open",))
    assert only.masks == {}
    assert only.counted.all()
