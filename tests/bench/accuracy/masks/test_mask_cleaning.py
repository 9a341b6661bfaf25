"""The measurement of cleaned masks, on masks drawn by hand and on a real tiny version."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.accuracy.masks import mask_cleaning
from bench.accuracy.masks.mask_cleaning import (
    Annotated,
    best_threshold,
    compare,
    hole_pixels,
    islands,
    row,
)
from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, MaskCleaning, Task
from tests.builders.training.runs import tiny_runs

WHOLE = MaskCleaning(largest=1, fill_holes=True)
SPEC = HeadSpec(kind=Task.SEGMENT, file="h.onnx", inputs=("x",), labels=(Label(name="Left lung"),))


def image(patient: str = "p") -> Annotated:
    """10 x 10 pixels: a lung of 4 x 4 with a hole, and an island of 2 pixels at 0.6."""
    true = np.zeros((10, 10), dtype=bool)
    true[3:7, 3:7] = True
    probability = np.where(true, 0.9, 0.1).astype(np.float32)
    probability[4, 4] = 0.3
    probability[0, 8:] = 0.6
    logits: NDArray[np.float32] = np.log(probability / (1 - probability))[None]
    geometry = Geometry.fit(10, 10, 10)
    masks = {"Left lung": true, "Right lung": np.zeros_like(true)}
    return Annotated(patient, {"logits": logits}, geometry, masks, np.ones_like(true))


def test_islands_and_holes_are_counted() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    assert (islands(mask), hole_pixels(mask)) == (0, 0)
    mask[:3, :3] = True
    mask[1, 1] = False
    mask[4, 4] = True
    assert (islands(mask), hole_pixels(mask)) == (1, 1)


def test_both_masks_are_compared_with_the_truth() -> None:
    (found,) = compare(SPEC, "Left lung", WHOLE, [image()])
    assert found.dice == pytest.approx((2 * 15 / (17 + 16), 1.0))
    assert found.box_iou == pytest.approx((16 / (7 * 7), 1.0))
    assert (found.islands, found.hole_px) == ((1, 0), (1, 0))
    assert not list(compare(SPEC, "Right lung", WHOLE, [image()]))  # it is not in the picture


def test_the_best_threshold_is_that_of_calibration() -> None:
    assert best_threshold(SPEC, "Left lung", None, [image()]) == pytest.approx(0.65)
    assert best_threshold(SPEC, "Left lung", WHOLE, [image()]) == pytest.approx(0.2)


def test_a_row_shows_both_means_and_the_change() -> None:
    found = list(compare(SPEC, "Left lung", WHOLE, [image("a"), image("b")]))
    assert row("tiny", "Left lung", found) == (
        "| tiny | Left lung | 2 | 0.9091 | 1.0000 | +0.0909 (+0.0909 to +0.0909) "
        "| 2 -> 0 | 2 -> 0 | 0.3265 | 1.0000 | +0.6735 (+0.6735 to +0.6735) |"
    )


def test_a_published_version_is_measured(
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_runs.write_kermany(tmp_path)
    options = ["--data", tmp_path, "--sets", "kermany_224", "--split", "train"]
    version = ["--models-dir", tiny_models, "--model", "tiny"]
    monkeypatch.setattr("sys.argv", ["mask_cleaning", *map(str, (*options, *version))])
    mask_cleaning.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny/1, split train, MaskCleaning(largest=1")
    rows = [line.split(" | ")[:3] for line in lines[4:6]]
    assert rows == [["| kermany_224", "Left lung", "8"], ["| kermany_224", "Right lung", "8"]]
    assert lines[-1].startswith("masks of one radiograph: ")
