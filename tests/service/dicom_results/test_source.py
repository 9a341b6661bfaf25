"""Header of the radiograph: what must be there, and hostile files."""

import warnings

import pytest
from pydicom import uid
from pydicom.sequence import Sequence

from radiograph.errors import InputError, InputTooLarge
from radiograph.limits import Limits
from service.dicom_results.source import read
from service.errors import NoDicomObject
from tests.builders.files import sample_files
from tests.builders.files.dicom_files import dicom, item, ramp
from tests.builders.service.results.dicom_results import SERIES, STUDY, source


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_source_without_identity_is_refused(keyword: str) -> None:
    with pytest.raises(NoDicomObject, match="refer to"):
        read(source(**{keyword: None}))


def test_a_picture_is_refused() -> None:
    picture = sample_files.png_file(sample_files.bright_rectangle(8, 8, (1, 1, 4, 4)))
    with pytest.raises(NoDicomObject, match="DICOM files only"):
        read(picture)


def test_a_file_that_is_cut_short_is_refused() -> None:
    with pytest.raises(InputError):
        read(source()[:150])


def test_a_file_of_many_elements_is_refused() -> None:
    with pytest.raises(InputTooLarge):
        read(source(), Limits(max_elements=5))


def test_a_value_of_megabytes_is_not_copied() -> None:
    assert read(source(PatientID="P" * 4096)).copied["PatientID"] == "P" * 4096
    assert read(source(PatientID="P" * 4098)).copied["PatientID"] == ""


@pytest.mark.parametrize(
    "attributes",
    [
        {"VOILUTSequence": Sequence([item(LUTDescriptor=[9, 0, 16], LUTData=b"12")])},
        {"VOILUTSequence": Sequence([item()])},
        {"VOILUTSequence": Sequence([])},
    ],
)
def test_an_unusable_table_is_left_out(attributes: dict[str, object]) -> None:
    assert read(source(**attributes)).voi_lut is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"SpecificCharacterSet": ["ISO 2022 IR 999", "nonsense"], "PatientName": "Mü"},
        {"SpecificCharacterSet": "ISO_IR 192", "PatientID": "\udcff"},
        {"PatientName": "a=b=c=d=e^^^^^^^^^"},
        {"StudyTime": "999999.999999999", "StudyDate": "00000000"},
        {"TimezoneOffsetFromUTC": "east"},
        {"WindowCenter": "nan", "WindowWidth": "-1"},
    ],
)
def test_odd_values_are_read_without_a_warning_that_quotes_them(
    attributes: dict[str, object],
) -> None:
    if attributes.get("PatientID") == "\udcff":
        data = source(PatientID="ZZ", SpecificCharacterSet="ISO_IR 192").replace(b"ZZ", b"\xff\xfe")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = source(**attributes)
    header = read(data)
    assert header.moment.offset == ""
    assert header.window is None


@pytest.mark.parametrize("length", [2**17, 2**20])
def test_values_longer_than_any_identifier_are_left_out(length: int) -> None:
    identity = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    named = dicom(ramp(8, 8), uid.ImplicitVRLittleEndian, PatientName="A" * length, **identity)
    assert read(named).copied["PatientName"] == ""
    identity["StudyInstanceUID"] = "1" * length
    with pytest.raises(NoDicomObject, match="refer to"):
        read(dicom(ramp(8, 8), uid.ImplicitVRLittleEndian, **identity))
