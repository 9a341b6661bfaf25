"""Attributes are decoded from raw bytes; a value that cannot be decoded counts as absent."""

import math
from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence

from radiograph.limits import DEFAULT_LIMITS
from radiograph.readers.header.attributes import Attributes
from radiograph.readers.part10 import parse
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import item, ramp


def header(**attributes: Any) -> Attributes:
    """The attributes of a file, as they are when they have been read from its bytes."""
    made = files.dataset(ramp(), **attributes)
    return parse(files.write(made, ramp().tobytes()), DEFAULT_LIMITS)[0]


def test_an_absent_attribute_has_no_value() -> None:
    found = header()
    assert "PixelSpacing" not in found
    assert (found.raw("PixelSpacing"), found.text("PixelSpacing")) == (b"", "")
    assert found.numbers("PixelSpacing") == ()
    assert found.word("PixelPaddingValue") is None
    assert found.items("ViewCodeSequence") == ()


def test_texts_are_stripped_and_in_upper_case() -> None:
    found = header(ImageType=["original ", " Primary"])
    assert found.texts("ImageType") == ("ORIGINAL", "PRIMARY")
    assert found.text("ImageType") == "ORIGINAL"


def test_a_number_that_is_not_finite_is_nan() -> None:
    made = files.dataset(ramp())
    files.put(made, "WindowCenter", ["12.5", "inf", "wide"], "LO")
    found = parse(files.write(made, ramp().tobytes()), DEFAULT_LIMITS)[0]
    first, *others = found.numbers("WindowCenter")
    assert first == 12.5
    assert [math.isnan(number) for number in others] == [True, True]


@pytest.mark.parametrize(("little_endian", "value"), [(True, 0x0201), (False, 0x0102)])
def test_words_are_read_in_the_byte_order_of_the_data_set(little_endian: bool, value: int) -> None:
    found = Attributes(item(LUTData=b"\x01\x02"), little_endian=little_endian)
    words = found.words("LUTData")
    assert words.dtype == np.uint16
    assert words.tolist() == [value]


def test_items_of_a_sequence_are_attributes_too() -> None:
    found = header(ViewCodeSequence=Sequence([item(CodeValue="399348003")]))
    assert [each.text("CodeValue") for each in found.items("ViewCodeSequence")] == ["399348003"]


@pytest.mark.parametrize(
    ("uid", "well_formed"), [("1.2.840.10008", True), ("1.02.3", False), ("3.1", False)]
)
def test_only_a_well_formed_uid_is_returned(uid: str, well_formed: bool) -> None:
    made = files.dataset(ramp())
    files.put(made, "SOPInstanceUID", uid, "LO")
    found = parse(files.write(made, ramp().tobytes()), DEFAULT_LIMITS)[0]
    assert found.uid("SOPInstanceUID") == (uid if well_formed else None)
