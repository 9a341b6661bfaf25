from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian

from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, dicom, lut, ramp


def shown(stored: NDArray[Any], **attributes: Any) -> NDArray[np.uint16]:
    return reader.read(dicom(stored, **attributes)).pixels


def by_pydicom(stored: NDArray[Any], low: float, high: float, **attributes: Any) -> NDArray[Any]:
    """Return the pixels according to pydicom, whose range low..high becomes 0..65535."""
    made = files.dataset(stored, **attributes)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if "PixelRepresentation" in made and not made.get("ModalityLUTSequence"):
        modality = apply_modality_lut(stored.astype(np.int32), made)
    else:
        modality = apply_modality_lut(stored, made)
    if made.get("VOILUTSequence"):
        modality = modality.astype(np.int64)
    return (apply_voi_lut(modality, made).astype(np.float64) - low) / (high - low) * 65535


def test_without_a_window_or_voi_lut_the_range_is_spread_over_black_to_white() -> None:
    pixels = shown(np.array([[100, 200, 300]], dtype=np.uint16))
    assert pixels.tolist() == [[0, 32768, 65535]]


def test_monochrome1_is_inverted() -> None:
    pixels = shown(
        np.array([[0, 51, 255]], dtype=np.uint8), PhotometricInterpretation="MONOCHROME1"
    )
    assert pixels.tolist() == [[65535, 52428, 0]]


def test_monochrome1_is_inverted_after_the_window_and_not_before() -> None:
    stored = np.array([[0, 64, 128, 255]], dtype=np.uint8)
    window = {"WindowCenter": 64, "WindowWidth": 128, "VOILUTFunction": "LINEAR_EXACT"}
    plain = shown(stored, **window)
    inverted = shown(stored, PhotometricInterpretation="MONOCHROME1", **window)
    assert plain.tolist() == [[0, 32768, 65535, 65535]]
    assert inverted.tolist() == [[65535, 32768, 0, 0]]


@pytest.mark.parametrize("top", [1, 2, 6, 254, 255])
def test_an_inverted_copy_gives_the_same_pixels(top: int) -> None:
    stored = np.arange(top + 1, dtype=np.uint8)[None]
    copy = (top - stored).astype(np.uint8)
    inverted = shown(copy, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(shown(stored), inverted)


def test_presentation_lut_shape_inverse_does_not_invert_twice() -> None:
    stored = ramp(4, 4)
    once = shown(stored, PhotometricInterpretation="MONOCHROME1")
    file = dicom(stored, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.array_equal(reader.read(file).pixels, once)
    assert reader.read(file).warnings == ()


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")]
)
def test_a_contradicting_presentation_lut_shape_is_ignored_with_a_warning(
    photometric: str, shape: str
) -> None:
    stored = ramp(4, 4)
    file = dicom(stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    expected = shown(stored, PhotometricInterpretation=photometric)
    assert np.array_equal(reader.read(file).pixels, expected)
    assert codes(reader.read(file).warnings) == ["presentation_lut"]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize(
    ("centre", "width"), [(2048, 4096), (1000, 600), (0.5, 900.5), (4095, 1e4)]
)
def test_windows_agree_with_pydicom(function: str | None, centre: float, width: float) -> None:
    stored = ramp()
    window = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    attributes = {"BitsStored": 12, **window}
    expected = by_pydicom(stored, 0, 4095, **attributes)
    assert np.abs(shown(stored, **attributes) - expected).max() <= 1


def test_a_linear_window_has_the_values_of_the_standard() -> None:
    """PS3.3 section C.11.2.1.2.1: with c=2048 and w=4096, x=0 gives the least, 4095 the most."""
    stored = np.array([[0, 1, 2047, 2048, 4094, 4095]], dtype=np.uint16)
    pixels = shown(stored, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    assert pixels.tolist() == [[round(x / 4095 * 65535) for x in stored[0].tolist()]]


def test_the_first_of_several_windows_is_used() -> None:
    stored = ramp()
    one = shown(stored, WindowCenter=1000, WindowWidth=500)
    two = shown(stored, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "100", "WindowWidth": "0"},
        {"WindowCenter": "100", "WindowWidth": "-5"},
        {"WindowCenter": "100", "WindowWidth": "0.5"},
        {"WindowCenter": "100", "WindowWidth": "NaN"},
        {"WindowCenter": "inf", "WindowWidth": "10"},
        {"WindowCenter": "wide", "WindowWidth": "10"},
        {"WindowCenter": "100"},
        {"WindowWidth": "100"},
        {"WindowCenter": "100", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "100", "WindowWidth": "0", "VOILUTFunction": "LINEAR_EXACT"},
    ],
)
def test_an_unusable_window_is_ignored_with_a_warning(window: dict[str, str]) -> None:
    stored = ramp()
    made = files.dataset(stored)
    for keyword, value in window.items():
        files.put(made, keyword, value, "LO")
    radiograph = reader.read(files.write(made, stored.tobytes()))
    assert np.array_equal(radiograph.pixels, shown(stored))
    assert codes(radiograph.warnings) == ["window_unusable"]


def test_a_window_that_shows_every_pixel_alike_is_ignored_with_a_warning() -> None:
    stored = ramp()
    radiograph = reader.read(dicom(stored, WindowCenter=60000, WindowWidth=10))
    assert np.array_equal(radiograph.pixels, shown(stored))
    assert codes(radiograph.warnings) == ["voi_unusable"]


def test_an_unknown_voi_function_is_linear_with_a_warning() -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    radiograph = reader.read(dicom(ramp(), VOILUTFunction="CUBIC", **window))
    assert np.array_equal(radiograph.pixels, shown(ramp(), **window))
    assert codes(radiograph.warnings) == ["voi_function_unknown"]


@pytest.mark.parametrize("number", ["1e308", "1e-320", "-1e300"])
@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_absurd_windows_cause_no_numeric_warning(number: str, function: str) -> None:
    made = files.dataset(ramp(), VOILUTFunction=function)
    files.put(made, "WindowCenter", number, "LO")
    files.put(made, "WindowWidth", number.lstrip("-"), "LO")
    assert reader.read(files.write(made, ramp().tobytes())).rows == 48


def test_rescale_comes_before_the_window() -> None:
    stored = ramp()
    attributes = {
        "BitsStored": 12,
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
        "WindowCenter": 1500,
        "WindowWidth": 3000,
    }
    expected = by_pydicom(stored, -1000, 2 * 4095 - 1000, **attributes)
    assert np.abs(shown(stored, **attributes) - expected).max() <= 1


def test_a_negative_slope_inverts_the_range() -> None:
    stored = np.array([[0, 50, 100]], dtype=np.uint16)
    pixels = shown(stored, RescaleSlope=-1, RescaleIntercept=100)
    assert pixels.tolist() == [[65535, 32768, 0]]


@pytest.mark.parametrize("slope", ["0", "NaN", "1e300", "x"])
def test_an_unusable_rescale_is_ignored_with_a_warning(slope: str) -> None:
    made = files.dataset(ramp(), RescaleIntercept=0)
    files.put(made, "RescaleSlope", slope, "LO")
    radiograph = reader.read(files.write(made, ramp().tobytes()))
    assert np.array_equal(radiograph.pixels, shown(ramp()))
    assert codes(radiograph.warnings) == ["rescale_unusable"]


def test_modality_lut_sequence_agrees_with_pydicom() -> None:
    stored = ramp()
    table = (np.sqrt(np.arange(4000)) * 1000).astype(np.uint16)
    attributes = {"ModalityLUTSequence": lut(table, 50, 16), "BitsStored": 12}
    low, high = float(table[0]), float(table[-1])
    expected = by_pydicom(stored, low, high, **attributes)
    assert np.abs(shown(stored, **attributes) - expected).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_voi_lut_sequence_agrees_with_pydicom(bits: int) -> None:
    stored = ramp()
    table = ((np.arange(3000) / 2999) ** 2 * (2**bits - 1)).astype(np.uint16)
    attributes = {"VOILUTSequence": lut(table, 500, bits), "BitsStored": 12}
    expected = by_pydicom(stored, 0, 2**bits - 1, **attributes)
    assert np.abs(shown(stored, **attributes) - expected).max() <= 1


def test_a_voi_lut_of_8_bits_may_have_more_than_256_entries() -> None:
    """Pydicom's own index overflows here, so known values stand in for it."""
    stored = np.array([[0, 500, 2000, 3499, 4095]], dtype=np.uint16)
    table = (np.arange(3000) // 12).astype(np.uint16)
    pixels = shown(stored, VOILUTSequence=lut(table, 500, 8))
    assert pixels.tolist() == [[0, 0, 125 * 257, 249 * 257, 249 * 257]]


def test_a_voi_lut_maps_negative_values_from_its_negative_first_entry() -> None:
    stored = np.array([[-20, -10, -5, 0, 10]], dtype=np.int16)
    table = np.arange(11, dtype=np.uint16) * 25
    pixels = shown(stored, VOILUTSequence=lut(table, -10, 8))
    assert pixels.tolist() == [[0, 0, 125 * 257, 250 * 257, 250 * 257]]


def test_a_voi_lut_of_65536_entries_says_0_entries() -> None:
    stored = np.array([[0, 1000, 65535]], dtype=np.uint16)
    table = np.arange(65536, dtype=np.uint16)
    assert shown(stored, VOILUTSequence=lut(table, 0, 16)).tolist() == stored.tolist()


def test_the_voi_lut_is_preferred_to_the_window() -> None:
    sequence = lut(np.arange(4096, dtype=np.uint16), 0, 12)
    both = shown(ramp(), VOILUTSequence=sequence, WindowCenter=10, WindowWidth=2)
    assert np.array_equal(both, shown(ramp(), VOILUTSequence=sequence))


@pytest.mark.parametrize(
    ("keyword", "code"),
    [("VOILUTSequence", "voi_lut_unusable"), ("ModalityLUTSequence", "modality_lut_unusable")],
)
def test_a_lut_with_missing_entries_is_ignored_with_a_warning(keyword: str, code: str) -> None:
    sequence = lut(np.arange(10, dtype=np.uint16), 0, 8)
    files.put(sequence[0], "LUTDescriptor", [4096, 0, 8], "US")
    radiograph = reader.read(dicom(ramp(), **{keyword: sequence}))
    assert np.array_equal(radiograph.pixels, shown(ramp()))
    assert codes(radiograph.warnings) == [code]


@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_every_bit_depth_keeps_its_ends(bits: int, signed: bool) -> None:
    ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    stored = np.array([[ends[0], (ends[0] + ends[1]) // 2, ends[1]]], dtype=kind)
    pixels = shown(stored, BitsStored=bits)
    assert pixels[0, 0] == 0
    assert pixels[0, 2] == 65535
    assert abs(int(pixels[0, 1]) - 32767) <= 65535 // (2**bits - 1)


def test_unused_bits_such_as_overlays_are_dropped() -> None:
    stored = ramp()
    overlaid = stored | np.uint16(0xA000)
    assert np.array_equal(shown(overlaid, BitsStored=12), shown(stored, BitsStored=12))


def test_signed_values_with_unused_bits_are_sign_extended() -> None:
    stored = np.array([[-2048, 0, 2047]], dtype=np.int16)
    bare = (stored & 0x0FFF).astype(np.int16)
    assert np.array_equal(shown(bare, BitsStored=12), shown(stored, BitsStored=12))


def test_left_aligned_values_are_shifted_down() -> None:
    stored = ramp()
    window = {"WindowCenter": 1000, "WindowWidth": 1000, "BitsStored": 12}
    assert np.array_equal(shown(stored << 4, HighBit=15, **window), shown(stored, **window))


def test_padding_is_black_and_left_out_of_the_range() -> None:
    stored = np.array([[0, 1000, 1500, 2000]], dtype=np.uint16)
    plain = shown(stored, PixelPaddingValue=0)
    inverted = shown(stored, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    assert plain.tolist() == [[0, 0, 32768, 65535]]
    assert inverted.tolist() == [[0, 65535, 32768, 0]]


def test_padding_reaches_to_its_range_limit() -> None:
    stored = np.array([[3000, 3500, 4000, 100, 200, 300]], dtype=np.uint16)
    limits = {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 3000}
    assert shown(stored, **limits).tolist() == [[0, 0, 0, 0, 32768, 65535]]


def test_negative_padding_is_recognised() -> None:
    stored = np.array([[-2000, 0, 100]], dtype=np.int16)
    made = files.dataset(stored)
    files.put(made, "PixelPaddingValue", -2000, "SS")
    assert reader.read(files.write(made, stored.tobytes())).pixels.tolist() == [[0, 0, 65535]]


def test_padding_with_more_bits_than_are_stored_is_recognised() -> None:
    stored = np.array([[0xFFFF, 4095, 1000]], dtype=np.uint16)
    pixels = shown(stored, BitsStored=12, PixelPaddingValue=0xFFFF)
    assert pixels.tolist() == [[0, 65535, 0]]


def test_an_image_that_is_all_padding_is_shown_with_a_warning() -> None:
    stored = ramp()
    radiograph = reader.read(dicom(stored, PixelPaddingValue=0, PixelPaddingRangeLimit=65535))
    assert np.array_equal(radiograph.pixels, shown(stored))
    assert codes(radiograph.warnings) == ["padding_unusable"]


def test_padding_does_not_hide_that_a_window_shows_every_pixel_alike() -> None:
    stored = np.array([[0, 1000, 2000]], dtype=np.uint16)
    window = {"WindowCenter": 100, "WindowWidth": 10, "PixelPaddingValue": 0}
    radiograph = reader.read(dicom(stored, **window))
    assert radiograph.pixels.tolist() == [[0, 0, 65535]]
    assert codes(radiograph.warnings) == ["voi_unusable"]


def test_a_flat_image_is_read() -> None:
    assert not shown(np.full((5, 7), 1000, dtype=np.uint16)).any()


def test_a_1_x_1_image_is_read() -> None:
    assert shown(np.array([[7]], dtype=np.uint8)).shape == (1, 1)
