"""An object of one frame may state its attributes in functional groups."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from radiograph.errors import MultiFrameImage
from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, item, ramp

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
each_group = pytest.mark.parametrize("group", [SHARED, PER_FRAME])


def group_of(macro: str, **attributes: Any) -> Sequence:
    """A functional group with one macro."""
    made = Dataset()
    setattr(made, macro, Sequence([item(**attributes)]))
    return Sequence([made])


def radiograph(**attributes: Any) -> Radiograph:
    """A radiograph without Patient Orientation, window or spacing, unless the attributes say so."""
    absent = {"PatientOrientation": None, "PixelSpacing": None, "ImagerPixelSpacing": None}
    made = files.dataset(ramp(), **(absent | {"NumberOfFrames": "1"} | attributes))
    return reader.read(files.write(made, ramp().tobytes()))


@each_group
def test_the_orientation_of_the_frame_turns_the_image(group: str) -> None:
    macro = group_of("PatientOrientationInFrameSequence", PatientOrientation=["R", "F"])
    image = radiograph(**{group: macro})
    assert image.orientation.name == "mirrored"
    assert image.laterality == "asserted"
    assert codes(image.warnings) == ["orientation_mirrored"]


@each_group
def test_an_empty_attribute_of_the_data_set_does_not_hide_that_of_the_frame(group: str) -> None:
    macro = group_of("PatientOrientationInFrameSequence", PatientOrientation=["R", "F"])
    image = radiograph(**{group: macro, "PatientOrientation": ""})
    assert image.orientation.name == "mirrored"


@each_group
def test_the_window_is_that_of_the_frame(group: str) -> None:
    window = {"WindowCenter": 1000, "WindowWidth": 1500}
    image = radiograph(**{group: group_of("FrameVOILUTSequence", **window)})
    assert np.array_equal(image.pixels, radiograph(**window).pixels)
    assert not np.array_equal(image.pixels, radiograph().pixels)


@each_group
def test_the_spacing_is_that_of_the_frame(group: str) -> None:
    macro = group_of("PixelMeasuresSequence", PixelSpacing=[0.2, 0.25])
    assert radiograph(**{group: macro}).spacing_mm == (0.2, 0.25)


@each_group
def test_a_rescale_of_the_frame_is_applied(group: str) -> None:
    rescale = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    image = radiograph(**{group: group_of("PixelValueTransformationSequence", **rescale)})
    assert np.array_equal(image.pixels, radiograph(**rescale).pixels)


def test_the_data_set_goes_before_the_frame_and_the_frame_before_shared_attributes() -> None:
    mirrored = group_of("PatientOrientationInFrameSequence", PatientOrientation=["R", "F"])
    turned = group_of("PatientOrientationInFrameSequence", PatientOrientation=["R", "H"])
    both = {PER_FRAME: mirrored, SHARED: turned}
    assert radiograph(**both).orientation.name == "mirrored"
    assert radiograph(**both, PatientOrientation=["L", "F"]).orientation.is_upright


def test_several_frames_stay_refused() -> None:
    macro = group_of("FrameVOILUTSequence", WindowCenter=1000, WindowWidth=1500)
    with pytest.raises(MultiFrameImage):
        radiograph(**{SHARED: macro, "NumberOfFrames": "2"})


def test_a_group_that_is_too_long_for_one_frame_is_not_looked_into() -> None:
    macro = group_of("PatientOrientationInFrameSequence", PatientOrientation=["R", "F"])
    files.put(macro[0], "PixelPaddingValue", b"\0" * 2**18, "OB")
    assert radiograph(**{SHARED: macro}).orientation.is_upright
