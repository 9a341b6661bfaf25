from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from radiograph.errors import (
    ColourImage,
    InputError,
    InputTooLarge,
    MalformedInput,
    MultiFrameImage,
    NoPixelData,
    UndecodablePixels,
    UnusableImage,
    WrongModality,
)
from radiograph.limits import Limits
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, dicom, ramp


def refused(error: type[InputError], file: bytes) -> str:
    """The message of the refusal, which must be of exactly this type."""
    with pytest.raises(InputError) as caught:
        reader.read(file)
    assert type(caught.value) is error
    return str(caught.value)


def changed(**attributes: Any) -> bytes:
    """A file with elements that pydicom would not validate."""
    made = files.dataset(ramp())
    for keyword, value in attributes.items():
        files.put(made, keyword, value)
    return files.write(made, ramp().tobytes())


def test_a_plain_radiograph_is_read_without_a_warning() -> None:
    radiograph = reader.read(dicom(ramp()))
    assert (radiograph.rows, radiograph.columns) == (48, 64)
    assert radiograph.photometric_interpretation == "MONOCHROME2"
    assert radiograph.view_position == "PA"
    assert radiograph.sop_instance_uid == files.SOP_INSTANCE_UID
    assert radiograph.warnings == ()


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "dx "])
@pytest.mark.parametrize(
    "sop_class",
    [
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.SecondaryCaptureImageStorage,
    ],
)
def test_radiographs_are_accepted_whatever_the_sop_class(modality: str, sop_class: str) -> None:
    assert reader.read(changed(Modality=modality, SOPClassUID=sop_class)).warnings == ()


@pytest.mark.parametrize(
    "modality", ["CT", "MR", "US", "RF", "XA", "MG", "IO", "PX", "NM", "RTDOSE", "SEG", "XX"]
)
def test_other_modalities_are_refused(modality: str) -> None:
    refused(WrongModality, changed(Modality=modality))


@pytest.mark.parametrize("modality", [None, "", "OT", "DR"])
@pytest.mark.parametrize(
    "sop_class",
    [
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    ],
)
def test_a_secondary_capture_of_no_stated_modality_needs_other_evidence(
    modality: str | None, sop_class: str
) -> None:
    capture = {"Modality": modality, "SOPClassUID": sop_class}
    bare = {"BodyPartExamined": None, "ViewPosition": None, **capture}
    refused(WrongModality, changed(**bare))
    for evidence in ({"BodyPartExamined": "CHEST"}, {"ViewPosition": "AP"}):
        radiograph = reader.read(changed(**(bare | evidence)))
        assert codes(radiograph.warnings) == ["modality_unstated"]


RADIOGRAPH_CLASSES = [
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
]


@pytest.mark.parametrize("modality", [None, "", "OT", "ot", "UNKNOWN", "DR", "RX", "X-RAY"])
@pytest.mark.parametrize("sop_class", RADIOGRAPH_CLASSES)
def test_the_sop_class_stands_in_for_the_modality(modality: str | None, sop_class: str) -> None:
    bare = {"BodyPartExamined": None, "ViewPosition": None}
    file = changed(Modality=modality, SOPClassUID=sop_class, **bare)
    assert "modality_unstated" in codes(reader.read(file).warnings)


@pytest.mark.parametrize("sop_class", [None, ""])
@pytest.mark.parametrize("stored_class", RADIOGRAPH_CLASSES)
def test_the_file_meta_stands_in_for_a_missing_sop_class(
    sop_class: str | None, stored_class: str
) -> None:
    bare = {"BodyPartExamined": None, "ViewPosition": None, "Modality": None}
    assert codes(reader.read(with_meta(stored_class, SOPClassUID=sop_class, **bare)).warnings) == (
        ["modality_unstated", "for_processing"]
        if stored_class == uid.DigitalXRayImageStorageForProcessing
        else ["modality_unstated"]
    )


def test_a_secondary_capture_by_its_file_meta_needs_other_evidence() -> None:
    bare = {"BodyPartExamined": None, "ViewPosition": None, "Modality": None, "SOPClassUID": None}
    refused(WrongModality, with_meta(uid.SecondaryCaptureImageStorage, **bare))
    chest = with_meta(uid.SecondaryCaptureImageStorage, **(bare | {"BodyPartExamined": "CHEST"}))
    assert codes(reader.read(chest).warnings) == ["modality_unstated"]


def test_the_file_meta_is_no_evidence_against_the_data_set() -> None:
    refused(WrongModality, with_meta(RADIOGRAPH_CLASSES[0], Modality="CT", SOPClassUID=None))
    other = {"Modality": None, "SOPClassUID": uid.CTImageStorage}
    refused(WrongModality, with_meta(RADIOGRAPH_CLASSES[0], **other))
    refused(WrongModality, with_meta("1.2.3", Modality=None, SOPClassUID=None))


def with_meta(sop_class: str, **attributes: Any) -> bytes:
    """A file whose file meta information names this SOP class."""
    file = changed(**attributes)
    old = uid.ComputedRadiographyImageStorage.encode()
    old += b"\0" * (len(old) % 2)
    new = sop_class.encode() + b"\0" * (len(sop_class) % 2)
    at = file.index(b"\x02\x00\x02\x00UI")
    return file[: at + 6] + len(new).to_bytes(2, "little") + new + file[at + 8 + len(old) :]


def test_no_stated_modality_is_refused_outside_of_secondary_captures() -> None:
    refused(WrongModality, changed(Modality="OT", SOPClassUID=uid.CTImageStorage))


@pytest.mark.parametrize("modality", ["CR", None, "OT", "SR", "DOC"])
def test_an_object_without_pixels_is_refused(modality: str | None) -> None:
    refused(NoPixelData, files.write(files.dataset(ramp(), Modality=modality), None))


def test_floating_point_pixels_are_refused() -> None:
    made = files.dataset(ramp())
    made.add_new("FloatPixelData", "OF", ramp().astype("<f4").tobytes())
    refused(UnusableImage, files.write(made, None))


@pytest.mark.parametrize("frames", [2, 30, 10**9])
def test_more_than_one_frame_is_refused(frames: int) -> None:
    refused(MultiFrameImage, changed(NumberOfFrames=str(frames)))


@pytest.mark.parametrize("frames", ["", "0", "1", None])
def test_an_absent_empty_or_zero_number_of_frames_means_one(frames: str | None) -> None:
    assert reader.read(changed(NumberOfFrames=frames)).rows == 48


@pytest.mark.parametrize("frames", ["1A", "-3", "1e3", "9" * 16, "1.0"])
def test_a_number_of_frames_that_is_not_a_number_is_malformed(frames: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "NumberOfFrames", frames, "LO")
    refused(MalformedInput, files.write(made, ramp().tobytes()))


@pytest.mark.parametrize(
    "photometric", ["RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "XYZ"]
)
def test_colour_is_refused(photometric: str) -> None:
    refused(ColourImage, changed(PhotometricInterpretation=photometric))


def test_too_few_samples_in_colour_are_undecodable() -> None:
    rgb = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 1}
    assert "18432 are needed" in refused(UndecodablePixels, changed(**rgb))


def test_three_samples_are_refused_whatever_the_photometric_interpretation() -> None:
    refused(ColourImage, changed(SamplesPerPixel=3))


def test_a_missing_photometric_interpretation_is_malformed() -> None:
    refused(MalformedInput, changed(PhotometricInterpretation=None))


@pytest.mark.parametrize("sides", [{"Rows": 0}, {"Columns": 0}, {"Rows": None}])
def test_an_image_without_a_side_is_malformed(sides: dict[str, int | None]) -> None:
    refused(MalformedInput, changed(**sides))


@pytest.mark.parametrize("bits", [0, 2, 7, 65535, None])
def test_impossible_bits_allocated_are_malformed(bits: int | None) -> None:
    refused(MalformedInput, changed(BitsAllocated=bits))


@pytest.mark.parametrize("bits", [1, 12, 24, 32, 64])
def test_bit_depths_that_no_radiograph_has_are_unusable(bits: int) -> None:
    refused(UnusableImage, changed(BitsAllocated=bits))


def test_more_bits_stored_than_allocated_are_malformed() -> None:
    refused(MalformedInput, changed(BitsStored=17))


@pytest.mark.parametrize("high_bit", [0, 40, None])
def test_a_wrong_high_bit_is_ignored(high_bit: int | None) -> None:
    radiograph = reader.read(changed(BitsStored=12, HighBit=high_bit))
    assert np.array_equal(radiograph.pixels, reader.read(changed(BitsStored=12, HighBit=11)).pixels)


def test_missing_pixel_data_bytes_are_undecodable() -> None:
    file = files.write(files.dataset(ramp()), ramp().tobytes()[:-2])
    assert "6144 are needed" in refused(UndecodablePixels, file)


def test_pixels_are_counted_before_their_data_are_checked() -> None:
    refused(InputTooLarge, changed(Rows=65535, Columns=65535))


def test_limits_are_those_of_the_caller() -> None:
    file = dicom(ramp())
    exact = Limits(max_bytes=len(file), max_pixels=48 * 64)
    assert reader.read(file, exact).rows == 48
    for less in (
        Limits(max_bytes=len(file) - 1),
        Limits(max_pixels=48 * 64 - 1),
        Limits(max_elements=5),
    ):
        with pytest.raises(InputTooLarge):
            reader.read(file, less)


def test_a_dicomdir_holds_no_image() -> None:
    made = Dataset()
    made.SOPClassUID = uid.MediaStorageDirectoryStorage
    files.put(made, "FileSetID", "../../etc", "LO")
    made.add_new("DirectoryRecordSequence", "SQ", [])
    refused(NoPixelData, files.write(made, None))
