"""Arithmetic-coded JPEG files are read, and data that are missing in them are noticed."""

import numpy as np
import pytest

from radiograph.errors import UndecodablePixels
from radiograph.readers import raster
from tests.builders.files import arithmetic_jpeg
from tests.builders.files.codestreams import picture_8, zeroed
from tests.builders.files.dicom_files import codes

FILES = {
    "sequential": arithmetic_jpeg.SEQUENTIAL,
    "progressive": arithmetic_jpeg.PROGRESSIVE,
}
each_file = pytest.mark.parametrize("name", FILES)


@each_file
def test_an_arithmetic_coded_file_is_read(name: str) -> None:
    radiograph = raster.read(FILES[name])
    assert np.abs(radiograph.pixels / 257.0 - picture_8(64, 56)).max() <= 8
    assert radiograph.warnings == ()


@each_file
@pytest.mark.parametrize("filler", [b"", b"\0", b"\0\0\0", b"\xff\xff"])
@pytest.mark.parametrize("end", [b"\xff\xd9", b"\xff\xd9" + b"\0" * 100, b""])
def test_bytes_around_the_end_do_no_harm(name: str, filler: bytes, end: bytes) -> None:
    radiograph = raster.read(FILES[name][:-2] + filler + end)
    assert np.array_equal(radiograph.pixels, raster.read(FILES[name]).pixels)
    assert radiograph.warnings == ()


@pytest.mark.parametrize("kept", [0.6, 0.8, 0.9])
def test_missing_data_at_the_end_of_a_scan_are_refused(kept: float) -> None:
    data = arithmetic_jpeg.SEQUENTIAL
    scan = data.index(b"\xff\xda") + 10
    cut = scan + int((len(data) - scan) * kept)
    with pytest.raises(UndecodablePixels, match="end too early"):
        raster.read(data[:cut] + b"\xff\xd9")


def test_missing_data_at_the_end_of_the_last_scan_are_refused() -> None:
    data = arithmetic_jpeg.PROGRESSIVE
    with pytest.raises(UndecodablePixels, match="end too early"):
        raster.read(data[: data.rindex(b"\xff\xda") + 60] + b"\xff\xd9")


def test_missing_scans_are_a_warning() -> None:
    data = arithmetic_jpeg.PROGRESSIVE
    radiograph = raster.read(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9")
    assert codes(radiograph.warnings) == ["damaged_pixel_data"]


def test_zeros_in_place_of_the_data_are_a_warning() -> None:
    radiograph = raster.read(zeroed(arithmetic_jpeg.SEQUENTIAL, 40))
    assert codes(radiograph.warnings) == ["damaged_pixel_data"]
