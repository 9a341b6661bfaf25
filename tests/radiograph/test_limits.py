"""Limits on one input, and errors of libraries that become errors of the input."""

import pytest

from radiograph.errors import ColourImage, InputTooLarge, MalformedInput
from radiograph.limits import Limits, as_malformed_input


def test_a_file_may_be_as_long_as_allowed() -> None:
    limits = Limits(max_bytes=3)
    limits.check_bytes(b"123")
    with pytest.raises(InputTooLarge):
        limits.check_bytes(b"1234")


def test_an_empty_file_is_malformed() -> None:
    with pytest.raises(MalformedInput):
        Limits().check_bytes(b"")


def test_an_image_may_have_as_many_pixels_as_allowed() -> None:
    limits = Limits(max_pixels=12)
    limits.check_pixels(3, 4)
    with pytest.raises(InputTooLarge):
        limits.check_pixels(1, 13)


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (-1, 4)])
def test_an_image_without_a_pixel_is_malformed(rows: int, columns: int) -> None:
    with pytest.raises(MalformedInput):
        Limits().check_pixels(rows, columns)


def test_the_error_of_a_library_is_named_by_its_type_only() -> None:
    with pytest.raises(MalformedInput) as caught, as_malformed_input("it cannot be read"):
        raise ValueError("Doe^Jane")
    assert str(caught.value) == "it cannot be read (ValueError)"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_running_out_of_memory_is_too_large() -> None:
    with pytest.raises(InputTooLarge), as_malformed_input("it cannot be read"):
        raise MemoryError


def test_an_error_of_the_input_passes_unchanged() -> None:
    error = ColourImage("the image is in colour")
    with pytest.raises(ColourImage) as caught, as_malformed_input("it cannot be read"):
        raise error
    assert caught.value is error
