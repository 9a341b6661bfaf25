"""Version 2 reduces stored samples first, and counts what is exposed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.orientation import Orientation
from radiograph.geometry.shutter import Shutter
from radiograph.image import IDENTITY, DisplayTable, Radiograph
from radiograph.preprocess import PreprocessSpec, preprocess, to_grid, to_input, version_2
from radiograph.readers import dicom as reader
from tests.builders.files.dicom_files import dicom

SPEC = PreprocessSpec(version=2)
SMALL = PreprocessSpec(version=2, size_px=64)
CROPPED = PreprocessSpec(version=2, size_px=64, crop="exposed_field")
TOLERANCE = 2e-4
"""Largest difference of an intensity in [0, 1] from the same steps in double precision."""

ORIENTATIONS = [Orientation(bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(8)]


def smooth(rows: int, columns: int, highest: int = 4095, seed: int = 0) -> NDArray[Any]:
    """Return a smooth random picture with some noise that uses 0 to `highest`."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.random((6, 5)).astype(np.float32))
    picture = np.asarray(coarse.resize((columns, rows), Image.Resampling.BICUBIC)).astype(float)
    picture += random.normal(0, 0.02, picture.shape)
    picture = (picture - picture.min()) / max(np.ptp(picture), 1e-9)
    dtype = np.uint8 if highest < 256 else np.uint16
    made: NDArray[Any] = (picture * highest).round().astype(dtype)
    return made


def radiograph(samples: NDArray[Any], **facts: Any) -> Radiograph:
    """Return a radiograph whose table is linear over 8, 12 or 16 bits."""
    entries = 256 if samples.dtype == np.uint8 else 4096 if samples.max() < 4096 else 65536
    return Radiograph(samples, facts.pop("table", DisplayTable.linear(entries)), **facts)


def triangle(length: float, blocks: int, cells: int) -> NDArray[np.float64]:
    """Return the weights, cells x blocks, of a triangle whose support grows with the reduction."""
    scale = length / cells
    centres = (np.arange(cells) + 0.5) * scale
    distance = np.abs(np.arange(blocks) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1 - distance, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def reference(samples: NDArray[Any], table: NDArray[np.uint16], spec: PreprocessSpec) -> Any:
    """Do the documented steps for an image without anything to hide, in double precision."""
    rows, columns = samples.shape
    scale = spec.size_px / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    steps = [
        max(int(length / (cells * 4 / 3)) // 2 * 2, 1)
        for length, cells in ((rows, height), (columns, width))
    ]
    means = np.array(
        [
            [
                samples[y : y + steps[0], x : x + steps[1]].mean(dtype=np.float64)
                for x in range(0, columns, steps[1])
            ]
            for y in range(0, rows, steps[0])
        ]
    )
    brightness = np.interp(means, np.arange(table.size), table.astype(np.float64))
    small = triangle(rows / steps[0], len(means), height) @ brightness
    small = small @ triangle(columns / steps[1], means.shape[1], width).T
    low, high = np.percentile(small, (spec.low_percentile, spec.high_percentile))
    grid = np.zeros((spec.size_px, spec.size_px))
    top, left = (spec.size_px - height) // 2, (spec.size_px - width) // 2
    grid[top : top + height, left : left + width] = np.clip((small - low) / (high - low), 0, 1)
    return grid


@pytest.mark.parametrize("highest", [255, 4095, 65535])
@pytest.mark.parametrize("shape", [(64, 50), (100, 90), (231, 317), (640, 512), (801, 333)])
def test_the_grid_is_that_of_double_precision(shape: tuple[int, int], highest: int) -> None:
    samples = smooth(*shape, highest)
    image = radiograph(samples)
    bent = (np.sqrt(np.linspace(0, 1, highest + 1)) * 65535).astype(np.uint16)
    for table in (image.table.brightness, bent):
        shown = DisplayTable(table, np.zeros(table.size, dtype=np.bool_))
        made, _ = to_grid(radiograph(samples, table=shown), SMALL)
        assert np.abs(made - reference(samples, table, SMALL)).max() < TOLERANCE


@pytest.mark.parametrize("shape", [(640, 512), (2500, 2048)])
def test_the_grid_is_close_to_that_of_version_1(shape: tuple[int, int]) -> None:
    samples = smooth(*shape)
    difference = (
        to_grid(radiograph(samples), SPEC)[0] - to_grid(radiograph(samples), PreprocessSpec())[0]
    )
    assert np.abs(difference).max() < 0.02


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: o.name)
@pytest.mark.parametrize("crop", ["none", "exposed_field"])
def test_a_picture_gives_the_same_grid_however_it_is_stored(
    orientation: Orientation, crop: str
) -> None:
    upright = np.pad(smooth(463, 371), ((17, 30), (41, 0)))
    spec = PreprocessSpec.model_validate({"version": 2, "size_px": 64, "crop": crop})
    table = DisplayTable(DisplayTable.linear(4096).brightness, np.arange(4096) == 3000)
    expected = to_input(radiograph(upright, table=table, spacing_mm=(0.1, 0.15)), spec)
    stored = np.ascontiguousarray(orientation.turn_back(upright))
    spacing = orientation.stored_shape(0.1, 0.15)
    made = to_input(
        radiograph(stored, table=table, spacing_mm=spacing, orientation=orientation), spec
    )
    assert np.array_equal(made.grid, expected.grid)
    assert made.geometry.upright == expected.geometry


def test_padding_is_black_and_has_no_part_in_the_percentiles() -> None:
    samples = smooth(300, 300) // np.uint16(2) + np.uint16(1000)
    padded = samples.copy()
    padded[:, :150] = 0
    table = DisplayTable(DisplayTable.linear(4096).brightness, np.arange(4096) == 0)
    grid, _ = to_grid(radiograph(padded, table=table), SMALL)
    alone, _ = to_grid(radiograph(samples[:, 150:]), PreprocessSpec(version=2, size_px=64))
    assert not grid[:, :32].any()
    # The same tissue, of which the edge is averaged differently.
    assert np.abs(grid[:, 33:] - alone[:, 17:48]).max() < 0.05
    assert (grid[:, 32:].min(), grid.max()) == (0, 1)


def test_padding_of_scattered_samples_is_left_out_too() -> None:
    samples = smooth(300, 300)
    table = DisplayTable(DisplayTable.linear(4096).brightness, np.arange(4096) % 64 == 0)
    grid, _ = to_grid(radiograph(samples, table=table), SMALL)
    plain, _ = to_grid(radiograph(samples), SMALL)
    assert np.abs(grid - plain).max() < 0.05


@pytest.mark.parametrize(
    "shutter",
    [
        Shutter(rectangle=(60.0, 30.0, 240.0, 270.0)),
        Shutter(circle=(150.0, 140.0, 120.0)),
        Shutter(polygon=((150.0, 20.0), (270.0, 150.0), (150.0, 280.0), (30.0, 150.0))),
    ],
)
def test_what_a_shutter_hides_is_black_and_not_counted(shutter: Shutter) -> None:
    samples = smooth(300, 300, seed=1) // np.uint16(2)
    visible = shutter.shows(np.arange(300) + 0.5, np.arange(300) + 0.5)
    grids = []
    for outside in (0, 4095):
        covered = np.where(visible, samples, outside).astype(np.uint16)
        grids.append(to_grid(radiograph(covered, shutter=shutter), SMALL)[0])
    coverage = np.asarray(
        Image.fromarray(visible.astype(np.float32)).resize((64, 64), Image.Resampling.BILINEAR)
    )
    assert not any(grid[coverage == 0].any() for grid in grids)
    inside = coverage == 1
    inside[1:-1, 1:-1] &= (
        inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    )
    assert np.median(np.abs(grids[0] - grids[1])[inside]) < 0.02
    assert grids[0][inside].std() > 0.1


@pytest.mark.parametrize("border", [0, 4095])
def test_a_constant_border_is_black_and_not_counted(border: int) -> None:
    tissue = smooth(240, 240) // np.uint16(8) + np.uint16(1000)
    framed = np.pad(tissue, 40, constant_values=border)
    grid, _ = to_grid(radiograph(framed), SMALL)
    assert not grid[:7].any()
    assert not grid[:, -7:].any()
    assert grid[10:-10, 10:-10].std() > 0.15
    version_1, _ = to_grid(radiograph(framed), PreprocessSpec(size_px=64))
    assert version_1[10:-10, 10:-10].std() < 0.1


@pytest.mark.parametrize("border", [0, 4095])
def test_the_exposed_field_fills_the_square(border: int) -> None:
    tissue = smooth(240, 200)
    framed = np.pad(tissue, ((40, 24), (80, 16)), constant_values=border)
    made = to_input(radiograph(framed), CROPPED)
    field = made.geometry.field
    assert field is not None
    assert (
        np.abs(
            np.array([field.top, field.left, field.rows, field.columns]) - [40, 80, 240, 200]
        ).max()
        <= 2
    )
    alone, _ = to_grid(radiograph(framed[field.window]), SMALL)
    assert np.array_equal(made.grid, alone)
    assert made.geometry.box_to_source((0, 0, 64, 64)) == (
        field.left,
        field.top,
        field.left + field.columns,
        field.top + field.rows,
    )


def test_an_image_without_a_border_is_not_cropped() -> None:
    assert to_input(radiograph(smooth(200, 240)), CROPPED).geometry.field is None


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("ratio", [0.5, 2.0, 1.3])
@pytest.mark.parametrize("known", ["spacing_mm", "aspect_ratio"])
def test_pixels_become_square(known: str, ratio: float, transposed: bool) -> None:
    """A disc that is stored with pixels of `ratio` times their width is round on the grid."""
    y, x = np.mgrid[0:400, 0:400] + 0.5
    disc = ((((y - 200) * ratio) ** 2 + (x - 200) ** 2) < 90**2).astype(np.uint16) * 4000
    disc[::7, ::7] += 90
    stored = np.ascontiguousarray(disc.T) if transposed else disc
    sides = (0.2, 0.2 * ratio) if transposed else (0.2 * ratio, 0.2)
    grid, geometry = to_grid(radiograph(stored, **{known: sides}), SPEC)
    inside = grid > 0.5
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 2
    assert geometry.height / geometry.width == pytest.approx(
        1 / ratio if transposed else ratio, rel=0.02
    )


@pytest.mark.parametrize(
    "spacing",
    [
        None,
        (0.1, 10.0),
        (10.0, 0.1),
        (float("nan"), 0.1),
        (0.0, 0.0),
        (float("inf"), 1.0),
        (0.1, 0.1005),
    ],
)
def test_an_incredible_spacing_leaves_pixels_square(spacing: tuple[float, float] | None) -> None:
    samples = smooth(120, 100)
    made, geometry = to_grid(radiograph(samples, spacing_mm=spacing), SMALL)
    plain, expected = to_grid(radiograph(samples), SMALL)
    assert np.array_equal(made, plain)
    assert geometry == expected


@pytest.mark.parametrize("spec", [SMALL, CROPPED], ids=["whole", "cropped"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5000), (5000, 1), (3, 2000), (2, 2), (63, 65), (64, 64), (65, 4097)]
)
def test_odd_shapes_give_finite_values_in_range(
    shape: tuple[int, int], spec: PreprocessSpec
) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    for facts in ({}, {"spacing_mm": (0.1, 0.39)}, {"shutter": Shutter(circle=(0.5, 0.5, 9.0))}):
        made, geometry = preprocess(radiograph(samples, **facts), spec)
        assert made.shape == (1, 64, 64)
        assert np.isfinite(made).all()
        assert (made >= -1).all()
        assert (made <= 1).all()
        assert (geometry.rows, geometry.columns) == shape


@pytest.mark.parametrize("value", [0, 9, 4095])
def test_a_flat_image_is_black(value: int) -> None:
    assert not to_grid(radiograph(np.full((90, 70), value, np.uint16)), SMALL)[0].any()


def test_an_image_of_padding_but_for_one_pixel_is_finite() -> None:
    samples = np.zeros((300, 200), dtype=np.uint16)
    samples[170, 33] = 7
    table = DisplayTable(DisplayTable.linear(4096).brightness, np.arange(4096) == 0)
    for spec in (SMALL, CROPPED):
        made, _ = preprocess(radiograph(samples, table=table), spec)
        assert np.isfinite(made).all()


def test_a_shutter_around_padding_only_is_ignored() -> None:
    samples = smooth(200, 200) + np.uint16(1)
    samples[:100] = 0
    table = DisplayTable(DisplayTable.linear(8192).brightness, np.arange(8192) == 0)
    shutter = Shutter(rectangle=(0.0, 0.0, 200.0, 50.0))
    made, _ = to_grid(radiograph(samples, table=table, shutter=shutter), SMALL)
    assert np.array_equal(made, to_grid(radiograph(samples, table=table), SMALL)[0])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(ORIENTATIONS),
    st.sampled_from([SMALL, CROPPED]),
    st.floats(0.1, 10),
    st.integers(0, 60),
)
def test_any_image_has_a_tensor_and_a_way_back(
    rows: int, columns: int, orientation: Orientation, spec: PreprocessSpec, ratio: float, pad: int
) -> None:
    samples = np.pad(smooth(rows, columns, seed=pad), pad, constant_values=pad)
    made = to_input(
        radiograph(samples, orientation=orientation, spacing_mm=(0.2 * ratio, 0.2)), spec
    )
    assert np.isfinite(made.grid).all()
    geometry = made.geometry
    assert geometry.part.lies_in(*orientation.upright_shape(*samples.shape))
    x0, y0, x1, y1 = geometry.box_to_source((0, 0, spec.size_px, spec.size_px))
    assert 0 <= x0 < x1 <= samples.shape[1]
    assert 0 <= y0 < y1 <= samples.shape[0]
    assert geometry.map_to_source(made.grid).shape == samples.shape


SIGNED = {"PixelRepresentation": 1}


@pytest.mark.parametrize("attributes", [{}, {"PhotometricInterpretation": "MONOCHROME1"}])
def test_every_layout_of_the_same_values_gives_the_same_grid(attributes: dict[str, Any]) -> None:
    picture = smooth(300, 260)
    files = [
        dicom(picture, BitsStored=12, **attributes),
        dicom(picture, **attributes),
        dicom(picture << 4, BitsStored=12, HighBit=15, **attributes),
        dicom(picture.astype(np.int16) - np.int16(2048), BitsStored=12, **attributes),
        dicom((picture.astype(np.int16) - 2048) & 0x0FFF, BitsStored=12, **attributes),
        dicom(picture | np.uint16(0xA000), BitsStored=12, **attributes),
    ]
    grids = [to_grid(reader.read(file), SMALL)[0] for file in files]
    for grid in grids[1:]:
        assert np.abs(grid - grids[0]).max() < TOLERANCE


def test_padding_with_more_bits_than_are_stored_is_no_bright_tissue() -> None:
    picture = smooth(300, 260) // np.uint16(2)
    padded = picture.copy()
    padded[:, :100] = 0xFFFF
    image = reader.read(dicom(padded, BitsStored=12, PixelPaddingValue=0xFFFF))
    assert not image.pixels[:, :100].any()
    assert image.pixels[:, 100:].max() == 65535
    grid, _ = to_grid(image, SMALL)
    alone, _ = to_grid(reader.read(dicom(picture, BitsStored=12)), SMALL)
    assert np.abs(grid - alone)[:, 32:-4].max() < 0.1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_samples_that_are_not_reduced_are_looked_up_as_means_of_one_sample_are(
    kind: type[np.uint8 | np.uint16],
) -> None:
    entries = 2 ** (8 * np.dtype(kind).itemsize)
    values = np.random.default_rng(0)
    table = values.integers(0, 65536, entries).astype(np.uint16)
    samples: NDArray[Any] = values.integers(0, entries, (217, 190)).astype(kind)
    ones = np.ones(samples.shape, dtype=np.float32)
    means = version_2._brightness_of_means(table, samples.astype(np.uint32), ones)
    whole = DisplayTable(table, np.zeros(entries, dtype=np.bool_))
    assert np.array_equal(version_2._brightness_of_samples(whole, samples), means)
    assert means[3, 5] == table[samples[3, 5]]


def test_samples_that_are_brightness_themselves_need_no_table() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (217, 190)).astype(np.uint16)
    copied = DisplayTable(IDENTITY.brightness.copy(), IDENTITY.padding.copy())
    by_table = version_2._brightness_of_samples(copied, samples)
    assert np.array_equal(version_2._brightness_of_samples(IDENTITY, samples), by_table)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: o.name)
@pytest.mark.parametrize("padding", [-1, 3000], ids=["no padding", "padding"])
def test_a_part_that_needs_no_finer_reduction_is_not_reduced_again(
    monkeypatch: pytest.MonkeyPatch, orientation: Orientation, padding: int
) -> None:
    upright = np.pad(smooth(463, 371), ((16, 9), (8, 0)))
    table = DisplayTable(DisplayTable.linear(4096).brightness, np.arange(4096) == padding)
    stored = np.ascontiguousarray(orientation.turn_back(upright))
    image = radiograph(stored, table=table, orientation=orientation)
    reductions: list[Any] = []
    reduce = version_2._reduce

    def counted(*arguments: Any) -> Any:
        reductions.append(reduce(*arguments))
        return reductions[-1]

    monkeypatch.setattr(version_2, "_reduce", counted)
    made = to_input(image, CROPPED)
    assert len(reductions) == 1
    assert made.geometry.field is not None
    monkeypatch.setattr(version_2, "_cropped", lambda _reduced, _blocks, *rest: reduce(*rest))
    assert np.array_equal(made.grid, to_input(image, CROPPED).grid)
