"""Multipart bodies: well-formed ones are read back exactly, all others are refused."""

import mmap
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiograph.errors import MalformedInput
from service.api.uploads.multipart import Part, parts, spans

HEAD = b'Content-Disposition: form-data; name="file"\r\n\r\n'
FIELDS = st.tuples(st.sampled_from(["file", "phrase"]), st.binary(max_size=40))
LOOKALIKES = [
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n-",
    b"\r\n--",
    b"--b",
    b"\r\n--a--\r\n",
    b"\r\r\n\n",
    b"\r\n-\r\n--",
    b"\r\n--bx",
    b"\r\n--b-",
    b"\r\n--b\r",
    b"\r\n--b\n",
    b"\r\n\r\n--\r\n--bb",
    b"\r\n--" * 50,
    b"\r" * 500,
]


def one_part(data: bytes) -> bytes:
    return b"--b\r\n" + HEAD + data + b"\r\n--b--\r\n"


@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_the_form_of_an_http_client_is_read_back(fields: list[tuple[str, bytes]]) -> None:
    files = [(name, ("x", data, "image/png")) for name, data in fields]
    request = httpx.Request("POST", "http://g2d", files=files)
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    expected = [Part(name, "image/png", data) for name, data in fields]
    assert list(parts(request.read(), boundary)) == expected


@pytest.mark.parametrize("data", LOOKALIKES)
def test_data_that_resembles_a_delimiter_is_data(data: bytes) -> None:
    (part,) = parts(one_part(data), b"b")
    assert part.data == data


@pytest.mark.parametrize("data", LOOKALIKES)
@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 8])
def test_data_is_found_wherever_the_chunks_end(data: bytes, chunk_bytes: int) -> None:
    body = b"preamble" + b"\r\n--b\r\n" + HEAD + data + b"\r\n" + one_part(b"second")
    found = [body[span.start : span.end] for span in spans(body, b"b", chunk_bytes)]
    assert found == [data, b"second"]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4), st.integers(1, 40))
def test_spans_do_not_depend_on_the_size_of_the_chunks(data: list[bytes], size: int) -> None:
    body = b"".join(b"\r\n--bnd\r\n" + HEAD + item for item in data) + b"\r\n--bnd--"
    assert [body[span.start : span.end] for span in spans(body, b"bnd", size)] == data


def test_a_memory_mapped_body_has_the_same_parts(tmp_path: Path) -> None:
    body = one_part(b"x" * 300_000 + b"\r\n--")
    (tmp_path / "body").write_bytes(body)
    with (
        (tmp_path / "body").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert list(spans(mapped, b"b")) == list(spans(body, b"b"))


def test_name_media_type_and_file_name_come_from_the_headers() -> None:
    disposition = b'content-disposition: form-data; filename="1.dcm"; name="file"\r\n'
    body = b"--b\r\nCONTENT-TYPE: Application/DICOM\r\n" + disposition + b"\r\nx\r\n--b--"
    (span,) = spans(body, b"b")
    assert (span.name, span.media_type, span.filename) == ("file", "application/dicom", "1.dcm")
    assert body[span.start : span.end] == b"x"


def test_a_part_without_headers_has_no_name() -> None:
    assert list(parts(b"--b\r\n\r\nx\r\n--b--", b"b")) == [Part("", "", b"x")]


def test_a_body_without_parts_is_empty() -> None:
    assert list(parts(b"--b--\r\n", b"b")) == []


def test_preamble_and_epilogue_are_ignored() -> None:
    body = b"hello\r\n--b\r\n" + HEAD + b"x\r\n--b--\r\nbye\r\n--b\r\n"
    assert [part.data for part in parts(body, b"b")] == [b"x"]


def test_white_space_may_follow_a_boundary() -> None:
    body = b"--b \t\r\n" + HEAD + b"x\r\n--b \r\n" + HEAD + b"y\r\n--b--"
    assert [part.data for part in parts(body, b"b")] == [b"x", b"y"]


@pytest.mark.parametrize("boundary", [b"", b"b" * 71, b"b" * 5000])
def test_an_unusable_boundary_is_refused(boundary: bytes) -> None:
    with pytest.raises(MalformedInput):
        list(parts(b"--" + boundary + b"--", boundary))


@pytest.mark.parametrize("keep", range(len(one_part(b"data")) - 2))
def test_a_truncated_body_is_refused(keep: int) -> None:
    with pytest.raises(MalformedInput):
        list(parts(one_part(b"data")[:keep], b"b"))


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"y" * 5000 + b"\r\n",
        b"x" * 5000 + b": y\r\n",
        b"X: y\r\n" * 1000,
        (b"X: " + b"y" * 1000 + b"\r\n") * 5,
        b"no colon\r\n",
        b": no name\r\n",
        b"X: a lone carriage return\rY: z\r\n",
        b"X\0: y\r\n",
    ],
)
def test_headers_that_are_too_large_or_malformed_are_refused(headers: bytes) -> None:
    with pytest.raises(MalformedInput):
        list(parts(b"--b\r\n" + headers + b"\r\nx\r\n--b--", b"b"))


def test_a_part_may_have_the_headers_of_a_dicom_study() -> None:
    names = ("Content-Type", "Content-Location", "Content-ID", "MIME-Version", "Content-Length")
    headers = b"".join(f"{name}: {'x' * 200}\r\n".encode() for name in names + names[1:])
    (part,) = parts(b"--b\r\n" + headers + b"\r\nx\r\n--b--", b"b")
    assert part.data == b"x"


def test_parts_are_read_one_chunk_at_a_time() -> None:
    """A caller that refuses the second part never parses the malformed end of the body."""
    body = (b"--b\r\n" + HEAD + b"x\r\n") * 100_000 + b"malformed"
    found = spans(body, b"b")
    assert [next(found).name for _ in range(2)] == ["file", "file"]


def test_a_body_of_delimiters_alone_is_read_in_linear_time() -> None:
    body = b"--b\r\n\r\n\r\n" * 50_000 + b"--b--"
    assert sum(1 for _ in spans(body, b"b")) == 50_000


@given(st.binary(max_size=200))
def test_random_bytes_are_malformed_or_have_no_parts(noise: bytes) -> None:
    for body in (noise, b"--b\r\n" + noise, b"--b\r\n" + HEAD + noise):
        try:
            list(parts(body, b"b"))
        except MalformedInput:
            continue
