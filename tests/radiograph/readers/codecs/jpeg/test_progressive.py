"""Zeros in the scans of a progressive JPEG file, as an incomplete transfer leaves them."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radiograph.errors import InputError
from radiograph.readers import raster
from radiograph.readers.codecs.jpeg.markers import SOS, parse
from tests.builders.files.codestreams import jpeg_file, picture_8
from tests.builders.files.dicom_files import codes


def grainy() -> NDArray[np.uint8]:
    """A picture with noise, and a flat part as large as itself."""
    noise = np.random.default_rng(0).integers(-20, 21, (320, 288))
    part = (picture_8(320, 288) + noise).clip(0, 255).astype(np.uint8)
    return np.hstack((part, np.zeros_like(part)))


@pytest.mark.parametrize("scan", [1, 2, 3, 5])  # scans 0 and 4 hold the brightness of blocks
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_zeros_in_an_ac_scan_are_refused_or_a_warning(scan: int, place: float) -> None:
    data = jpeg_file(grainy(), progressive=True)
    scans = [each for each in parse(data).segments if each.marker == SOS]
    at = scans[scan].end + int(place * (scans[scan].data_end - scans[scan].end))
    try:
        warned = raster.read(data[:at] + bytes(64) + data[at + 64 :]).warnings
    except InputError:
        return
    assert codes(warned) == ["damaged_pixel_data"]


@pytest.mark.parametrize("quality", [30, 75, 99])
def test_a_flat_part_is_sound(quality: int) -> None:
    buffer = BytesIO()
    Image.fromarray(grainy()).save(buffer, "JPEG", quality=quality, progressive=True)
    assert raster.read(buffer.getvalue()).warnings == ()
