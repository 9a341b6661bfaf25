"""Headers with parameters: read as they were meant, refused where two things may be meant."""

import pytest

from radiograph.errors import MalformedForm
from service.api.uploads.header_options import parse_options

FORM = "multipart/form-data"
LONG = 4000
"""Nearly the longest value that is read."""


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        (f"{FORM}; boundary=b", b"b"),
        (f'{FORM}; boundary="b"', b"b"),
        (f"{FORM} ; BOUNDARY = b", b"b"),
        ("Multipart/Form-Data; charset=utf-16; boundary=b", b"b"),
        (f"{FORM};{';' * LONG}boundary=b", b"b"),
        (f"{FORM}; x={' ' * LONG}; boundary=b", b"b"),
        (f"{FORM}; x={'y' * LONG}; boundary=b", b"b"),
        (f"{FORM}; boundary=b, {FORM}; boundary*0=c", b"b, multipart/form-data"),
        (f"{FORM}; boundary*0=b", None),
        (f"{FORM}; boundary", b""),
        (f"{FORM};", None),
    ],
)
def test_a_parameter_is_read_as_it_stands(header: str, boundary: bytes | None) -> None:
    media_type, options = parse_options(header)
    assert (media_type, options.get(b"boundary")) == (FORM, boundary)


@pytest.mark.parametrize(
    "header",
    [
        f"{FORM}; boundary=b; boundary=c",
        f"{FORM}; boundary=b; Boundary=b",
        f'{FORM}; boundary="b;"; boundary=c',
        f"{FORM}; {'a=b; ' * (LONG // 5)}boundary=b",
        'form-data; name="file"; name="phrase"',
        b'form-data; name="file"; NAME=file',
    ],
)
def test_a_parameter_that_is_repeated_is_refused(header: str | bytes) -> None:
    with pytest.raises(MalformedForm, match="repeats a parameter"):
        parse_options(header)


@pytest.mark.parametrize(
    "header",
    ["", ";", ";" * LONG, '"' * LONG, "; =" * 1000, f'x; y="{chr(92) * LONG}', "\x00", "é;é=é"],
)
def test_what_is_no_header_value_names_no_boundary(header: str) -> None:
    assert b"boundary" not in parse_options(header)[1]


@pytest.mark.parametrize("filler", [";", "; ", "; =", '"', "; a=b", "x"])
def test_a_value_that_is_too_long_is_refused_unread(filler: str) -> None:
    with pytest.raises(MalformedForm, match="more than 4096 characters"):
        parse_options(f"{FORM}; boundary=b; x={filler * 4096}")


def test_no_header_is_no_value() -> None:
    assert parse_options(None) == ("", {})
