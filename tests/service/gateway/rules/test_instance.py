"""Facts of a received file: identity, digest, and what is no instance at all."""

from io import BytesIO

import pytest
from pydicom import dcmread

from radiograph.errors import InputError, InputTooLarge
from radiograph.limits import Limits
from service.gateway.rules.instance import read_instance
from tests.builders.gateway.radiographs import ROOT, radiograph


def rewritten(data: bytes) -> bytes:
    """Return the same data set with other file meta information, as another receiver writes it."""
    dataset = dcmread(BytesIO(data))
    dataset.file_meta.ImplementationVersionName = "OTHER"
    dataset.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_the_facts_are_those_of_the_header() -> None:
    instance = read_instance(radiograph(ViewPosition="AP", BodyPartExamined="chest"), Limits())
    assert instance.sop_instance_uid == f"{ROOT}.1.1"
    assert (instance.modality, instance.view, instance.body_part) == ("CR", "AP", "CHEST")


def test_the_digest_leaves_out_the_file_meta_information() -> None:
    data = radiograph()
    assert rewritten(data) != data
    assert read_instance(rewritten(data), Limits()).digest == read_instance(data, Limits()).digest


def test_the_digest_depends_on_header_and_pixels() -> None:
    data = radiograph()
    other_pixel = data[:-1] + bytes([data[-1] ^ 1])
    files = (data, other_pixel, radiograph(PatientID="7"))
    assert len({read_instance(file, Limits()).digest for file in files}) == 3


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" * 100, bytes(200) + b"DICM", radiograph(SOPInstanceUID=None)[:-1]],
    ids=["empty", "gif", "zeros", "no instance"],
)
def test_what_names_no_instance_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        read_instance(data, Limits())


def test_a_truncated_or_mutated_file_raises_nothing_else() -> None:
    data = radiograph()
    for end in range(0, len(data), 97):
        damaged = bytearray(data[: end + 1])
        damaged[end // 2] ^= 0xFF
        try:
            read_instance(bytes(damaged), Limits())
        except InputError:
            continue


def test_a_large_file_is_refused_by_its_length() -> None:
    with pytest.raises(InputTooLarge):
        read_instance(radiograph(), Limits(max_bytes=1000))
