"""Presentation states and secondary captures: boxes in source pixels, display of the source."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import generate_frames

from radiograph.readers.read import read
from service.dicom_results.kinds import ObjectKind
from service.encoders import overlay_encoder
from service.errors import NoDicomObject
from tests.builders.files.dicom_files import lut
from tests.builders.service.results.dicom_results import (
    BOX,
    COLUMNS,
    ROWS,
    known_result,
    one,
    source,
)

pytest.importorskip("highdicom")


def test_a_presentation_state_draws_the_boxes() -> None:
    made = one(ObjectKind.GSPS, source())
    detected, _ = made.GraphicAnnotationSequence
    x0, y0, x1, y1 = np.asarray(BOX, dtype=np.float32).tolist()
    assert detected.GraphicObjectSequence[0].GraphicData == [x0, y0, x1, y0, x1, y1, x0, y1, x0, y0]
    assert detected.TextObjectSequence[0].UnformattedTextValue == "Left lung 75%"
    (area,) = made.DisplayedAreaSelectionSequence
    assert area.DisplayedAreaBottomRightHandCorner == [COLUMNS, ROWS]


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")]
)
def test_a_presentation_state_repeats_the_display(photometric: str, shape: str) -> None:
    data = source(
        PhotometricInterpretation=photometric,
        WindowCenter="2000",
        WindowWidth="3000",
        RescaleSlope="2",
        RescaleIntercept="-5",
    )
    made = one(ObjectKind.GSPS, data)
    assert made.PresentationLUTShape == shape
    (voi,) = made.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (2000, 3000)
    assert (made.RescaleSlope, made.RescaleIntercept) == (2, -5)


ENTRIES = np.arange(0, 4096, 8, dtype=np.uint16)


def shown(**attributes: Any) -> tuple[list[int], list[int]]:
    """Return descriptor and first three entries of the table in a presentation state."""
    made = one(ObjectKind.GSPS, source(**attributes))
    (voi,) = made.SoftcopyVOILUTSequence
    assert "WindowCenter" not in voi
    assert "ModalityLUTSequence" not in made
    (table,) = voi.VOILUTSequence
    entries = np.frombuffer(table.LUTData, "<u2")
    assert len(entries) == 512
    return list(table.LUTDescriptor), entries[:3].tolist()


@pytest.mark.parametrize("first", [0, -3])
def test_a_presentation_state_has_the_voi_lut_in_16_bits(first: int) -> None:
    window = {"WindowCenter": "2000", "WindowWidth": "3000"}
    table = lut(ENTRIES, first, 12)
    assert shown(VOILUTSequence=table, **window) == ([512, first % 2**16, 16], [0, 128, 256])


def test_a_modality_lut_is_part_of_the_table() -> None:
    modality = lut(ENTRIES[::-1].copy(), 5, 12)  # 4088, 4080, 4072
    assert shown(ModalityLUTSequence=modality) == ([512, 5, 16], [65408, 65280, 65152])
    voi = lut(np.arange(4096, dtype=np.uint16) // 2, 0, 12)  # 2044, 2040, 2036
    both = shown(ModalityLUTSequence=modality, VOILUTSequence=voi)
    assert both == ([512, 5, 16], [2044 << 5, 2040 << 5, 2036 << 5])
    window = {"WindowCenter": "4080.5", "WindowWidth": "17"}  # 4080 is its middle
    assert shown(ModalityLUTSequence=modality, **window)[1] == [65535, 32768, 0]


def test_a_sigmoid_window_stays_one() -> None:
    window = {"WindowCenter": "2000", "WindowWidth": "3000", "VOILUTFunction": "SIGMOID"}
    (voi,) = one(ObjectKind.GSPS, source(**window)).SoftcopyVOILUTSequence
    assert voi.VOILUTFunction == "SIGMOID"


def test_pixels_that_are_not_square_are_displayed_so() -> None:
    (area,) = one(
        ObjectKind.GSPS, source(ImagerPixelSpacing=[0.2, 0.1])
    ).DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == [0.2, 0.1]
    assert "PresentationPixelAspectRatio" not in area


def test_an_aspect_ratio_without_a_spacing_is_displayed_so() -> None:
    data = source(ImagerPixelSpacing=None, PixelAspectRatio=[2, 1])
    (area,) = one(ObjectKind.GSPS, data).DisplayedAreaSelectionSequence
    assert area.PresentationPixelAspectRatio == [2, 1]


def test_a_window_that_does_not_fit_the_pixels_is_not_repeated() -> None:
    data = source(WindowCenter="32768", WindowWidth="65536")
    image = replace(known_result(data).image, warnings=read(data).warnings)
    assert "SoftcopyVOILUTSequence" in one(ObjectKind.GSPS, data)
    assert "SoftcopyVOILUTSequence" not in one(ObjectKind.GSPS, data, image=image)


def test_an_image_that_is_stored_in_colour_has_no_presentation_state() -> None:
    image = replace(known_result(source()).image, photometric_interpretation="RGB")
    with pytest.raises(NoDicomObject):
        one(ObjectKind.GSPS, source(), image=image)


def test_without_a_box_there_is_no_presentation_state() -> None:
    with pytest.raises(NoDicomObject):
        one(ObjectKind.GSPS, source(), detections=(), groundings=None)


def test_a_secondary_capture_is_the_overlay() -> None:
    data = source()
    made = one(ObjectKind.SC, data)
    assert made.file_meta.TransferSyntaxUID == uid.JPEGBaseline8Bit
    assert made.PhotometricInterpretation == "YBR_FULL_422"
    assert (made.LossyImageCompression, made.BurnedInAnnotation) == ("01", "YES")
    (frame,) = generate_frames(made.PixelData, number_of_frames=1)
    with Image.open(BytesIO(frame)) as image:
        shown = np.asarray(image.convert("RGB"), dtype=np.int16)
    drawn = np.asarray(overlay_encoder.draw(known_result(data)), dtype=np.int16)
    assert np.abs(shown - drawn).mean() < 8
    assert "PixelSpacing" not in made
