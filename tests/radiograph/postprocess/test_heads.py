"""Raw outputs become results in source pixels: known values, then invariants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, Task
from radiograph.postprocess.heads import MAX_CANDIDATES, Outputs, classify, detect, ground, segment
from radiograph.terminology.codes import code_of

SQUARE = Geometry.fit(400, 400, 224)
PORTRAIT = Geometry.fit(400, 200, 224)  # the image covers grid columns 56 to 168


def head(kind: str, *labels: Label, **more: float) -> HeadSpec:
    method = "aligned" if kind == "ground" else None
    spec = {"kind": Task(kind), "file": "heads/x.onnx", "inputs": ("deep",), "method": method}
    return HeadSpec.model_validate({**spec, "labels": labels, **more})


def full(shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
    return np.full(shape, value, dtype=np.float32)


ONE = Label(name="Pneumonia", code=code_of("Pneumonia"))


# classify


def test_a_logit_is_a_probability_after_the_temperature() -> None:
    (finding,) = classify(head("classify", ONE, temperature=2.0), {"logits": full((1,), 2.0)})
    assert finding.probability == pytest.approx(1 / (1 + math.exp(-1)))
    assert (finding.name, finding.code) == ("Pneumonia", code_of("Pneumonia"))


def test_a_probability_on_the_threshold_is_positive() -> None:
    labels = [Label(name="at", threshold=0.5), Label(name="above", threshold=0.51)]
    at, above = classify(head("classify", *labels), {"logits": full((2,), 0.0)})
    assert at.positive
    assert not above.positive
    assert (above.probability, above.threshold) == (0.5, 0.51)


def test_findings_keep_the_order_of_the_manifest() -> None:
    labels = [Label(name=name) for name in "cab"]
    found = classify(head("classify", *labels), {"logits": np.array([0, 2, -2], np.float32)})
    assert [f.name for f in found] == ["c", "a", "b"]
    assert found[1].probability > found[0].probability > found[2].probability


@pytest.mark.parametrize("logit", [3e38, -3e38, 100.0, -100.0])
def test_an_extreme_logit_is_a_finite_probability(logit: float) -> None:
    spec = head("classify", ONE, temperature=1e-3)  # the least that a manifest may have
    (finding,) = classify(spec, {"logits": full((1,), logit)})
    assert finding.probability == pytest.approx(1.0 if logit > 0 else 0.0)


# segment


def test_a_withheld_label_gives_neither_mask_nor_box() -> None:
    labels = [Label(name="poor", threshold=1.0), Label(name="good")]
    masks = segment(head("segment", *labels), {"logits": full((2, 8, 8), 90.0)}, SQUARE, None)
    assert [mask.name for mask in masks] == ["good"]
    raw = {"logits": full((2, 8, 8), 90.0), "distances": full((2, 4, 8, 8), 0.2)}
    assert {box.name for box in detect(head("detect", *labels), raw, SQUARE)} == {"good"}


def half_plane(size: int) -> NDArray[np.float32]:
    """Left half absent, right half present: 1 x size x size."""
    logits = full((1, size, size), -4.0)
    logits[:, :, size // 2 :] = 4.0
    return logits


@pytest.mark.parametrize("size", [8, 56, 224])
def test_a_half_plane_has_its_edge_at_the_exact_source_pixel(size: int) -> None:
    (mask,) = segment(head("segment", ONE), {"logits": half_plane(size)}, SQUARE, None)
    assert mask.mask.shape == (400, 400)
    assert not mask.mask[:, :200].any()
    assert mask.mask[:, 200:].all()
    assert mask.box == (200.0, 0.0, 400.0, 400.0)
    assert mask.area_px == 400 * 200


def test_the_padding_is_not_part_of_a_mask() -> None:
    logits = full((1, 8, 8), -9.0)
    logits[:, :, :2] = logits[:, :, 6:] = 9.0  # the image covers columns 2 to 6 of 8
    (mask,) = segment(head("segment", ONE), {"logits": logits}, PORTRAIT, None)
    assert mask.mask.shape == (400, 200)
    assert mask.box is None
    assert (mask.area_px, mask.area_mm2) == (0, None)


def test_a_mask_is_where_the_structure_is_when_the_image_is_padded() -> None:
    (mask,) = segment(head("segment", ONE), {"logits": half_plane(8)}, PORTRAIT, None)
    assert mask.box == (100.0, 0.0, 200.0, 400.0)


def test_the_area_uses_both_spacings() -> None:
    spec = head("segment", ONE)
    (mask,) = segment(spec, {"logits": half_plane(8)}, SQUARE, (0.5, 0.2))
    assert mask.area_mm2 == pytest.approx(400 * 200 * 0.5 * 0.2)


def test_an_empty_mask_has_area_zero_and_no_box() -> None:
    spec = head("segment", ONE)
    (mask,) = segment(spec, {"logits": full((1, 7, 7), -9.0)}, SQUARE, (0.1, 0.1))
    assert (mask.area_px, mask.area_mm2, mask.box) == (0, 0.0, None)


@pytest.mark.parametrize(("threshold", "whole"), [(0.5, True), (0.500001, False)])
def test_a_flat_map_is_all_or_nothing(threshold: float, whole: bool) -> None:
    label = Label(name="x", threshold=threshold)
    (mask,) = segment(head("segment", label), {"logits": full((1, 7, 7), 0.0)}, PORTRAIT, None)
    assert mask.area_px == (400 * 200 if whole else 0)


def test_a_lower_threshold_never_shrinks_a_mask() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 7, 7)).astype(np.float32)
    low, high = (
        segment(head("segment", Label(name="x", threshold=t)), {"logits": logits}, PORTRAIT, None)[
            0
        ].mask
        for t in (0.3, 0.6)
    )
    assert low[high].all()
    assert low.sum() > high.sum()


# detect


def one_hot(
    cells: dict[tuple[int, int], float], size: int = 7, reach: float = 0.1
) -> dict[str, NDArray[np.float32]]:
    """A detect output that is cold but for some cells; every cell reaches equally far."""
    logits = full((1, size, size), -9.0)
    for (row, column), value in cells.items():
        logits[0, row, column] = value
    return {"logits": logits, "distances": full((1, 4, size, size), reach)}


def test_one_hot_cell_gives_the_exact_box() -> None:
    outputs = one_hot({(2, 3): 2.0})
    outputs["distances"][0, :, 2, 3] = [0.25, 0.125, 0.0625, 0.5]  # left, top, right, bottom
    (found,) = detect(head("detect", ONE), outputs, Geometry.fit(448, 448, 224))
    x, y = 3.5 / 7 * 448, 2.5 / 7 * 448
    assert found.box == pytest.approx((x - 112, y - 56, x + 28, y + 224))
    assert found.score == pytest.approx(1 / (1 + math.exp(-2)))
    assert (found.name, found.code) == ("Pneumonia", code_of("Pneumonia"))


def test_a_box_is_clipped_to_the_image() -> None:
    (found,) = detect(head("detect", ONE), one_hot({(0, 3): 2.0}, reach=1.0), PORTRAIT)
    assert found.box == (0.0, 0.0, 200.0, 400.0)


def test_a_hot_cell_in_the_padding_gives_no_box() -> None:
    outputs = one_hot({(3, 0): 9.0, (3, 6): 9.0}, reach=1.0)
    assert detect(head("detect", ONE), outputs, PORTRAIT) == ()


def test_a_box_whose_edges_cross_is_dropped() -> None:
    assert detect(head("detect", ONE), one_hot({(3, 3): 9.0}, reach=-0.2), SQUARE) == ()


def test_a_box_below_its_threshold_is_dropped_and_one_on_it_kept() -> None:
    label = Label(name="x", threshold=0.5)
    assert detect(head("detect", label), one_hot({(3, 3): -0.01}), SQUARE) == ()
    assert len(detect(head("detect", label), one_hot({(3, 3): 0.0}), SQUARE)) == 1


def test_of_two_overlapping_boxes_the_lower_one_is_dropped() -> None:
    outputs = one_hot({(3, 3): 1.0, (3, 4): 3.0}, reach=0.4)  # they share more than half
    (found,) = detect(head("detect", ONE), outputs, SQUARE)
    assert found.score == pytest.approx(1 / (1 + math.exp(-3)))


@pytest.mark.parametrize(("nms_iou", "kept"), [(0.33, 1), (0.34, 2)])
def test_boxes_that_share_a_third_are_kept_from_that_limit_on(nms_iou: float, kept: int) -> None:
    outputs = one_hot({(4, 2): 1.0, (4, 4): 2.0}, size=8, reach=0.25)  # 4 cells wide, 2 apart
    assert len(detect(head("detect", ONE, nms_iou=nms_iou), outputs, SQUARE)) == kept


def test_overlapping_boxes_of_two_labels_are_both_kept_best_first() -> None:
    one, two = one_hot({(3, 3): 1.0}), one_hot({(3, 3): 2.0})
    outputs = {name: np.concatenate((one[name], two[name]), dtype=np.float32) for name in one}
    found = detect(head("detect", ONE, Label(name="Effusion")), outputs, SQUARE)
    assert [detection.name for detection in found] == ["Effusion", "Pneumonia"]


def test_the_number_of_boxes_is_bounded_and_the_best_are_kept() -> None:
    logits = np.arange(64 * 64).reshape(1, 64, 64).astype(np.float32) / np.float32(1000)
    outputs: Outputs = {"logits": logits, "distances": full((1, 4, 64, 64), 0.001)}
    found = detect(head("detect", ONE), outputs, SQUARE)
    assert len(found) == MAX_CANDIDATES
    assert found[0].score == pytest.approx(1 / (1 + math.exp(-4.095)))


# ground


def grounded(logits: NDArray[np.float32], presence: float = 3.0) -> dict[str, NDArray[np.float32]]:
    return {"logits": logits[None], "presence": full((1,), presence)}


def blob() -> NDArray[np.float32]:
    """8 x 8: a 2 x 3 blob with its best cell at row 2, column 3, and one far island."""
    logits = full((8, 8), -9.0)
    logits[2:4, 3:6] = 2.0
    logits[2, 3] = 3.0
    logits[6, 2] = 2.5
    return logits


def test_the_peak_is_the_centre_of_the_best_cell() -> None:
    (found,) = ground(head("ground"), grounded(blob()), ["left lung"], SQUARE)
    assert found.peak == pytest.approx((3.5 * 50, 2.5 * 50))
    assert (found.phrase, found.method) == ("left lung", "aligned")


def test_the_box_is_around_the_cells_connected_with_the_peak() -> None:
    (found,) = ground(head("ground"), grounded(blob()), ["x"], SQUARE)
    assert found.box == pytest.approx((150, 100, 300, 200))


def test_a_cell_that_only_touches_a_corner_is_not_connected() -> None:
    logits = full((8, 8), -9.0)
    logits[2, 2] = logits[3, 3] = 3.0
    (found,) = ground(head("ground"), grounded(logits), ["x"], SQUARE)
    assert found.box == pytest.approx((100, 100, 150, 150))


def test_the_box_ends_where_the_map_falls_below_half_of_its_peak() -> None:
    logits = full((8, 8), -9.0)
    logits[4, 2:6] = np.log([0.8 / 0.2, 0.41 / 0.59, 0.39 / 0.61, 0.8 / 0.2])
    logits[4, 2] += 1e-3
    (found,) = ground(head("ground"), grounded(logits), ["x"], SQUARE)
    assert found.box == pytest.approx((100, 200, 200, 250))


def test_the_heat_map_is_cropped_to_the_image() -> None:
    logits = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    (found,) = ground(head("ground", temperature=2.0), grounded(logits), ["x"], PORTRAIT)
    assert found.heatmap.shape == (8, 4)
    assert found.heatmap.dtype == np.float32
    assert found.heatmap[0] == pytest.approx(1 / (1 + np.exp(-np.arange(2, 6) / 2)))


def test_the_padding_holds_no_peak_and_no_box() -> None:
    logits = full((8, 8), -9.0)
    logits[:, :2] = logits[:, 6:] = 9.0
    logits[5, 3] = 1.0
    (found,) = ground(head("ground"), grounded(logits), ["x"], PORTRAIT)
    assert found.peak == pytest.approx((75, 275))
    assert found.box == pytest.approx((50, 250, 100, 300))


def test_similarity_is_calibrated_and_a_low_one_gives_no_box() -> None:
    spec = head("ground", temperature=2.0)
    (absent,) = ground(spec, grounded(blob(), presence=-2.0), ["x"], SQUARE)
    assert absent.similarity == pytest.approx(1 / (1 + math.exp(1)))
    assert absent.box is None
    assert absent.peak is not None


def test_a_flat_map_has_neither_peak_nor_box() -> None:
    (found,) = ground(head("ground"), grounded(full((7, 7), 1.0)), ["x"], PORTRAIT)
    assert (found.peak, found.box) == (None, None)
    assert np.isfinite(found.heatmap).all()


def test_a_saturated_map_still_has_its_peak_at_the_best_cell() -> None:
    logits = full((8, 8), 200.0)
    logits[6, 1] = 300.0
    (found,) = ground(head("ground"), grounded(logits), ["x"], SQUARE)
    assert found.peak == pytest.approx((75, 325))


def test_each_phrase_has_its_own_map_in_the_order_asked() -> None:
    outputs = {"logits": np.stack([blob(), blob()[::-1]]), "presence": full((2,), 1.0)}
    first, second = ground(head("ground"), outputs, ["a", "b"], SQUARE)
    assert (first.phrase, second.phrase) == ("a", "b")
    assert first.peak == pytest.approx((175, 125))
    assert second.peak == pytest.approx((175, 275))


# what must never happen


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_raw_output_that_is_not_finite_is_an_invalid_version(value: float) -> None:
    with pytest.raises(InvalidVersion, match="`logits` is not finite"):
        classify(head("classify", ONE), {"logits": full((1,), value)})
    with pytest.raises(InvalidVersion, match="`logits` is not finite"):
        segment(head("segment", ONE), {"logits": full((1, 7, 7), value)}, SQUARE, None)
    outputs = {**one_hot({}), "distances": full((1, 4, 7, 7), value)}
    with pytest.raises(InvalidVersion, match="`distances` is not finite"):
        detect(head("detect", ONE), outputs, SQUARE)
    with pytest.raises(InvalidVersion, match="`presence` is not finite"):
        ground(head("ground"), grounded(blob(), presence=value), ["x"], SQUARE)


@pytest.mark.parametrize("shape", [(), (2,), (1, 1), (0,)])
def test_a_classification_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVersion, match="`logits` has shape"):
        classify(head("classify", ONE), {"logits": full(shape, 0.0)})


@pytest.mark.parametrize("shape", [(7, 7), (2, 7, 7), (1, 0, 7), (1, 1, 7, 7)])
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    outputs = {
        "logits": full(shape, 0.0),
        "distances": full((1, 4, 7, 7), 0.1),
        "presence": full((1,), 0.0),
    }
    with pytest.raises(InvalidVersion, match="has shape"):
        segment(head("segment", ONE), outputs, SQUARE, None)
    with pytest.raises(InvalidVersion, match="has shape"):
        detect(head("detect", ONE), outputs, SQUARE)
    with pytest.raises(InvalidVersion, match="has shape"):
        ground(head("ground"), outputs, ["x"], SQUARE)


def test_distances_on_another_grid_are_refused() -> None:
    outputs = {**one_hot({}), "distances": full((1, 4, 7, 8), 0.1)}
    with pytest.raises(InvalidVersion, match="`distances` has shape"):
        detect(head("detect", ONE), outputs, SQUARE)


def test_a_missing_output_is_named() -> None:
    with pytest.raises(InvalidVersion, match="gives no `presence`"):
        ground(head("ground"), {"logits": blob()[None]}, ["x"], SQUARE)


def test_no_phrase_gives_no_grounding() -> None:
    outputs = {"logits": full((0, 7, 7), 0.0), "presence": full((0,), 0.0)}
    assert ground(head("ground"), outputs, [], SQUARE) == ()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 7, 100, 300]),
    columns=st.sampled_from([1, 2, 7, 100, 300]),
    size=st.sampled_from([1, 7, 8, 28]),
    seed=st.integers(0, 2**16),
)
def test_no_result_lies_outside_the_image(rows: int, columns: int, size: int, seed: int) -> None:
    random, geometry = np.random.default_rng(seed), Geometry.fit(rows, columns, 224)
    maps = random.normal(scale=5, size=(1, size, size)).astype(np.float32)
    distances = random.normal(0.1, 0.2, size=(1, 4, size, size)).astype(np.float32)
    (mask,) = segment(head("segment", ONE), {"logits": maps}, geometry, None)
    detections = detect(head("detect", ONE), {"logits": maps, "distances": distances}, geometry)
    (grounding,) = ground(head("ground"), grounded(maps[0]), ["x"], geometry)
    assert mask.mask.shape == (rows, columns)
    for box in [mask.box, grounding.box, *(found.box for found in detections)]:
        if box is not None:
            assert 0 <= box[0] < box[2] <= columns
            assert 0 <= box[1] < box[3] <= rows
    if grounding.peak is not None:
        assert 0 < grounding.peak[0] < columns
        assert 0 < grounding.peak[1] < rows
