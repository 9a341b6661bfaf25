"""`Result.plot` draws masks, boxes and phrases where they are."""

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import g2d
from g2d.results.plotting import gray


@pytest.fixture(scope="module")
def result(tiny_models: Path, rectangle_dicom: bytes) -> Iterator[g2d.Result]:
    mpl.use("Agg")
    with g2d.load(tiny_models, threads=1) as model:
        yield model.analyze(rectangle_dicom, phrases=["bright", "dark"])


def test_boxes_and_heat_map_are_drawn_on_the_edges_of_pixels(result: g2d.Result) -> None:
    axes = result.plot(Figure().subplots())
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == len(result.boxes) + sum(len(item.boxes) for item in result.phrases)
    first = boxes[0]
    x0, y0, x1, y1 = result.boxes[0].box
    assert (first.get_x(), first.get_y()) == (x0 - 0.5, y0 - 0.5)
    assert (first.get_width(), first.get_height()) == (x1 - x0, y1 - y0)
    radiograph, heat = axes.images
    assert list(heat.get_extent()) == [-0.5, 119.5, 159.5, -0.5]
    shown = radiograph.get_array()
    assert shown is not None
    assert np.array_equal(shown, gray(result))


def test_the_title_says_what_was_found_and_warned_of(result: g2d.Result) -> None:
    members = json.loads(result.to_json())
    members["warnings"] = [{"code": "out_of_domain", "message": "a"}]
    members["phrases"][0].update(phrase="$x$ banana", found=False)
    changed = g2d.Result.from_json(json.dumps(members))
    figure = Figure()
    title = changed.plot(figure.subplots(), gray(result)).get_title()
    assert "Lung opacity" in title
    assert "present)" in title
    assert r"\$x\$ banana: not found" in title
    assert "warning: out of domain" in title
    figure.canvas.draw()  # a formula would fail here


def test_the_picture_is_that_of_the_source(result: g2d.Result, rectangle_dicom: bytes) -> None:
    shown = gray(result)
    assert shown.shape == (160, 120)
    assert shown.dtype == np.uint8
    assert shown[50, 40] == 255
    assert shown[10, 10] == 0


def test_a_result_from_json_needs_an_image_of_its_size(result: g2d.Result) -> None:
    saved = g2d.Result.from_json(result.to_json())
    with pytest.raises(ValueError, match="give its radiograph, as `image`"):
        saved.plot()
    with pytest.raises(ValueError, match=r"the image is \(3, 3\), the result is of \(160, 120\)"):
        saved.plot(Figure().subplots(), np.zeros((3, 3)))
