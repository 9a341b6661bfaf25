"""An image whose palette is gray is read as the gray values of the palette."""

from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from radiograph.errors import ColourImage
from radiograph.readers import dicom as reader
from tests.builders.files.dicom_files import dicom, encoded, ramp

INDICES = ramp(top=255).astype(np.uint8)
TABLE = (255 - np.arange(256)).astype(np.uint16)


def palette(
    bits: int, *tables: NDArray[np.uint16], first: int = 0, packed: bool = False
) -> dict[str, Any]:
    """Return the attributes of a palette; one table stands for all three colours."""
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables * 3, strict=False):
        data = table.astype(np.uint8).tobytes() if packed else table.astype("<u2").tobytes()
        lookup = f"{colour}PaletteColorLookupTable"
        attributes[f"{lookup}Descriptor"] = [len(table) % 2**16, first, bits]
        attributes[f"{lookup}Data"] = data + b"\0" * (len(data) % 2)
    return attributes


def pixels(file: bytes) -> NDArray[np.uint16]:
    radiograph = reader.read(file)
    assert radiograph.warnings == ()
    return radiograph.pixels


@pytest.mark.parametrize(
    "attributes",
    [palette(16, TABLE * 257), palette(8, TABLE), palette(8, TABLE, packed=True)],
    ids=["16 bits", "8 bits in words", "8 bits in bytes"],
)
def test_a_gray_palette_gives_its_gray_values(attributes: dict[str, Any]) -> None:
    assert np.array_equal(pixels(dicom(INDICES, **attributes)), pixels(dicom(255 - INDICES)))


def test_a_gray_palette_of_compressed_indices_is_read() -> None:
    file = encoded(
        imagecodecs.jpegls_encode(INDICES), INDICES, uid.JPEGLSLossless, **palette(8, TABLE)
    )
    assert np.array_equal(pixels(file), pixels(dicom(255 - INDICES)))


def test_indices_beyond_the_table_have_its_nearest_entry() -> None:
    stored = np.array([[0, 9, 10, 11, 12, 40]], dtype=np.uint16)
    attributes = palette(16, np.array([0, 30000, 65535], dtype=np.uint16), first=10)
    assert pixels(dicom(stored, **attributes)).tolist() == [[0, 0, 0, 30000, 65535, 65535]]


def test_windows_do_not_apply_to_palettes() -> None:
    attributes = palette(8, TABLE) | {"WindowCenter": 10, "WindowWidth": 5}
    assert np.array_equal(pixels(dicom(INDICES, **attributes)), pixels(dicom(255 - INDICES)))


@pytest.mark.parametrize(
    "attributes",
    [
        {"PhotometricInterpretation": "PALETTE COLOR"},
        palette(8, TABLE, TABLE, TABLE[::-1]),
        palette(8, TABLE, TABLE, TABLE[:200]),
        palette(8, TABLE) | {"BluePaletteColorLookupTableDescriptor": [256, 1, 8]},
        palette(8, TABLE) | {"GreenPaletteColorLookupTableData": None},
        palette(8, TABLE) | {"RedPaletteColorLookupTableDescriptor": [256, 0, 32]},
        palette(8, TABLE) | {"SamplesPerPixel": 3},
    ],
)
def test_another_palette_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ColourImage):
        reader.read(dicom(INDICES, **attributes))
