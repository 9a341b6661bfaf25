"""Bodies of type multipart/related are read as they were written, or refused."""

import pytest

from service.dicomweb.multipart_related import join, parts

FILES = [b"\r\n--x\r\n\x00\xff", b"", bytes(range(256)) * 300]


def test_instances_are_read_as_they_were_joined() -> None:
    content_type, body = join(FILES)
    assert parts(content_type, body) == FILES


def test_a_single_file_needs_no_multipart() -> None:
    assert parts("application/dicom; transfer-syntax=1.2", b"file") == [b"file"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related; boundary=other", join(FILES)[1]),
        ("multipart/related", join(FILES)[1]),
        ("text/html", b"<html>"),
        ("", b""),
        ("multipart/related; boundary=b", b""),
        ("multipart/related; boundary=b", b"--b\r\n\r\nfile"),
        ("multipart/related; boundary=b", b"--b\r\n\r\nfile\r\n--b\r\n"),
        ("multipart/related; boundary=" + "b" * 10_000, b"--b\r\n\r\nfile\r\n--b--\r\n"),
        ("multipart/related; boundary=b", b"--b\r\n" + b"x: y\r\n" * 10_000),
        ("multipart/related; boundary=b", b"--b\r\n\r\n\r\n" * 10_000 + b"--b--\r\n"),
    ],
)
def test_another_body_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError, match="answer"):
        parts(content_type, body)
