"""A de-identified file holds nothing that was typed about a patient, and reads as before."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from radiograph.errors import MalformedInput, UnusableImage
from radiograph.readers.dicom import read
from tests.builders.files.dicom_files import dataset, dicom, encoded, item, lut, put, ramp, write
from training.deidentification import BurnedIn, Options, deidentify
from training.deidentification import write as write_deidentified
from training.kept_attributes import DATES, NUMBERS, SEQUENCES, TERMS, UIDS

NAME = b"DOE^PLANTED"
OPTIONS = Options(key=b"0" * 32)
PIXELS = ramp()
TEXT_VRS = {
    *("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
}
BYTE_VRS = {"OB", "OW", "OD", "OF", "OL", "OV", "UN"}


def deidentified(data: bytes, options: Options = OPTIONS) -> Dataset:
    return pydicom.dcmread(BytesIO(deidentify(data, options).data))


def planted() -> Iterator[tuple[Tag, str, Any]]:  # type: ignore[valid-type] # pydicom's factory
    """Yield an element with the name for every attribute of text, bytes or UIDs of the standard."""
    for keyword, number in keyword_dict.items():
        tag, vr = Tag(number), dictionary_VR(number).split(" or ")[0]
        if tag.group in (0x0000, 0x0002, 0x7FE0) or not keyword or tag.group in (0x0028, 0xFFFE):
            continue
        if vr in ("DS", "IS"):  # pydicom writes numbers only; a file may declare any VR
            yield tag, "LO", NAME.decode()
        elif vr in TEXT_VRS:
            yield tag, vr, NAME.decode()
        elif vr in BYTE_VRS:
            yield tag, vr, NAME + b"\0"


def plant(target: Dataset) -> int:
    """Put the name into every attribute that can hold it; return how many."""
    count = 0
    for tag, vr, value in planted():
        if tag != Tag("SOPClassUID"):
            target[tag] = DataElement(tag, vr, value, validation_mode=0)
            count += 1
    return count


def test_a_name_in_every_attribute_at_every_depth_is_removed() -> None:
    made = dataset(PIXELS)
    assert plant(made) > 2500
    nested, deep = Dataset(), Dataset()
    plant(nested)
    plant(deep)
    put(deep, "AnatomicRegionSequence", [nested])
    put(deep, "ReferencedStudySequence", [nested])
    for keyword in (*SEQUENCES, "RequestAttributesSequence", "OtherPatientIDsSequence"):
        put(made, keyword, [nested])
    put(made, "ViewCodeSequence", [deep])
    block = made.private_block(0x0029, NAME.decode(), create=True)
    block.add_new(1, "LO", NAME.decode())
    made.add_new(0x60003000, "OW", NAME + b"\0")
    for keyword in ("BurnedInAnnotation", "ConversionType", "RecognizableVisualFeatures"):
        put(made, keyword, None)
    data = bytearray(write(made, PIXELS.tobytes()))
    data[: len(NAME)] = NAME  # the preamble
    assert data.count(NAME) > 10_000
    result = deidentify(bytes(data), OPTIONS)
    assert NAME not in result.data
    assert b"PLANTED" not in result.data.upper()
    np.testing.assert_array_equal(read(result.data).samples, PIXELS)


def test_no_attribute_that_is_kept_is_in_the_table_of_the_profile() -> None:
    table = dicom_anonymization_database_selector("dicomfields_2026c")
    named = {tag for tags in table.values() for tag in tags if len(tag) == 2}
    assert len(named) > 500
    for keyword in NUMBERS | SEQUENCES | TERMS.keys():
        tag = Tag(keyword)
        assert (tag.group, tag.element) not in named, keyword
    for keyword in UIDS:
        tag = Tag(keyword)
        assert (tag.group, tag.element) in table["U_TAGS"], keyword
    assert keyword_dict.keys() >= DATES


def test_what_reading_needs_is_kept() -> None:
    attributes: dict[str, Any] = {
        "ViewCodeSequence": [item(CodeValue="399348003", CodingSchemeDesignator="SCT")],
        "PixelSpacing": [0.2, 0.2],
        "PhotometricInterpretation": "MONOCHROME1",
        "WindowCenter": 2000,
        "WindowWidth": 3000,
        "VOILUTSequence": lut(np.arange(4096, dtype=np.uint16), 0, 12),
        "ImageLaterality": "U",
    }
    data = dicom(PIXELS, **attributes)
    before, after = read(data), read(deidentify(data, OPTIONS).data)
    np.testing.assert_array_equal(after.pixels, before.pixels)
    assert (after.spacing_mm, after.view_position, after.orientation) == (
        before.spacing_mm,
        before.view_position,
        before.orientation,
    )
    assert after.warnings == before.warnings


def test_identifiers_are_replaced_consistently() -> None:
    attributes = {"PatientID": "MRN-1", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    one = deidentified(dicom(PIXELS, **attributes))
    other = deidentified(dicom(PIXELS, **{**attributes, "SOPInstanceUID": "1.2.5"}))
    assert one.PatientID == other.PatientID == one.PatientName
    assert one.PatientID.startswith("P")
    assert one.StudyInstanceUID == other.StudyInstanceUID != "1.2.3"
    assert one.StudyInstanceUID != one.SeriesInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert uid.UID(one.SOPInstanceUID).is_valid
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    with_another_key = deidentified(dicom(PIXELS, **attributes), Options(key=b"1" * 32))
    assert with_another_key.PatientID != one.PatientID
    assert with_another_key.StudyInstanceUID != one.StudyInstanceUID


def test_images_without_a_patient_are_not_taken_for_one_patient() -> None:
    one = deidentified(dicom(PIXELS, SOPInstanceUID="1.2.5"))
    other = deidentified(dicom(PIXELS, SOPInstanceUID="1.2.6"))
    assert one.PatientID != other.PatientID


def test_dates_are_removed_or_shifted_by_one_number_of_days_for_a_patient() -> None:
    attributes = {"PatientID": "MRN-1", "StudyDate": "20240301", "PatientBirthDate": "19500101"}
    data = dicom(PIXELS, **attributes)
    later = dicom(PIXELS, **{**attributes, "StudyDate": "20240311"})
    removed, shifting = deidentified(data), Options(OPTIONS.key, shift_dates=True)
    assert (removed.StudyDate, removed.PatientBirthDate) == ("", "")
    first, second = deidentified(data, shifting), deidentified(later, shifting)
    days = np.datetime64(_iso(second.StudyDate)) - np.datetime64(_iso(first.StudyDate))
    assert days == np.timedelta64(10, "D")
    assert first.StudyDate < "20240301"
    assert first.PatientBirthDate == ""
    methods = [item.CodeValue for item in first.DeidentificationMethodCodeSequence]
    assert (first.PatientIdentityRemoved, methods) == ("YES", ["113100", "113107"])


def _iso(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


@pytest.mark.parametrize("date", ["00010101", "20241399", "2024", "DOE"])
def test_a_date_that_cannot_be_shifted_is_removed(date: str) -> None:
    data = dicom(PIXELS, PatientID="MRN-1", StudyDate=date)
    assert deidentified(data, Options(OPTIONS.key, shift_dates=True)).StudyDate == ""


@pytest.mark.parametrize(
    "attributes",
    [
        {"BurnedInAnnotation": "YES"},
        {"RecognizableVisualFeatures": "YES"},
        {"SOPClassUID": uid.SecondaryCaptureImageStorage},
        {"SOPClassUID": uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage},
        {"ConversionType": "SI"},
        {"ConversionType": "DF"},
    ],
)
def test_an_image_that_may_show_text_is_refused_unless_allowed(attributes: dict[str, str]) -> None:
    data = dicom(PIXELS, **attributes)
    with pytest.raises(BurnedIn):
        deidentify(data, OPTIONS)
    assert deidentify(data, Options(OPTIONS.key, allow_burned_in=True)).data


def test_a_capture_that_says_that_nothing_is_burned_in_is_accepted() -> None:
    attributes = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "BurnedInAnnotation": "NO"}
    assert deidentified(dicom(PIXELS, **attributes)).BurnedInAnnotation == "NO"


def test_comments_in_compressed_pixels_are_removed() -> None:
    gray = (PIXELS >> 4).astype(np.uint8)
    jpeg = imagecodecs.jpeg8_encode(gray)
    comment = b"\xff\xfe" + (len(NAME) + 2).to_bytes(2, "big") + NAME
    data = encoded(jpeg[:2] + comment + jpeg[2:], gray, uid.JPEGBaseline8Bit)
    assert NAME in data
    result = deidentify(data, OPTIONS).data
    assert NAME not in result
    np.testing.assert_array_equal(read(result).samples, read(data).samples)


def test_comments_in_jpeg_2000_are_removed() -> None:
    codestream = imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", reversible=True, level=0)
    size = int.from_bytes(codestream[4:6], "big")
    comment = b"\xff\x64" + (len(NAME) + 4).to_bytes(2, "big") + b"\0\1" + NAME
    end = 4 + size
    data = encoded(codestream[:end] + comment + codestream[end:], PIXELS, uid.JPEG2000Lossless)
    assert NAME in data
    result = deidentify(data, OPTIONS).data
    assert NAME not in result
    np.testing.assert_array_equal(read(result).samples, PIXELS)


def test_bits_that_older_files_use_for_overlays_are_cleared() -> None:
    text = PIXELS | np.uint16(0x8000)
    result = deidentified(dicom(text, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(np.frombuffer(result.PixelData, "<u2"), PIXELS.ravel())


@pytest.mark.parametrize("data", [b"", b"DOE^PLANTED", b"\0" * 128 + b"DICM", b"\0" * 4096])
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    with pytest.raises((MalformedInput, UnusableImage)):
        deidentify(data, OPTIONS)


def test_an_object_without_pixels_or_of_a_private_kind_is_refused() -> None:
    with pytest.raises(UnusableImage, match="no pixel data"):
        deidentify(write(dataset(PIXELS), None), OPTIONS)
    with pytest.raises(UnusableImage, match="SOP class"):
        deidentify(dicom(PIXELS, SOPClassUID="1.2.3.4"), OPTIONS)


def test_the_file_is_named_by_its_new_identifiers(tmp_path: Path) -> None:
    result = deidentify(dicom(PIXELS, PatientID="MRN-1"), OPTIONS)
    path = write_deidentified(result, tmp_path)
    assert path == tmp_path / result.patient / f"{result.sop_instance_uid}.dcm"
    with pytest.raises(FileExistsError):
        write_deidentified(result, tmp_path)
