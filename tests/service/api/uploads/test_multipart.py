"""Forms in memory: what browsers and clients write is read back, whatever the file holds."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiograph.errors import MalformedInput
from service.api.uploads.multipart import Part, parts

HEAD = b'Content-Disposition: form-data; name="file"\r\n\r\n'


FIELDS = st.tuples(st.sampled_from(["file", "phrase"]), st.binary(max_size=40))


@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_what_a_client_writes_is_read_back(fields: list[tuple[str, bytes]]) -> None:
    files = [(name, ("x", data, "image/png")) for name, data in fields]
    request = httpx.Request("POST", "http://g2d", files=files)
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    expected = [Part(name, "image/png", data) for name, data in fields]
    assert list(parts(request.read(), boundary)) == expected


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n--", b"--b", b"\r\n--a--\r\n", b"\r\r\n\n"])
def test_data_that_look_like_a_delimiter_are_data(data: bytes) -> None:
    (part,) = parts(b"--b\r\n" + HEAD + data + b"\r\n--b--\r\n", b"b")
    assert part.data == data


def test_a_preamble_and_an_epilogue_are_left_out() -> None:
    body = b"hello\r\n--b\r\n" + HEAD + b"x\r\n--b--\r\nbye\r\n--b\r\n"
    assert [part.data for part in parts(body, b"b")] == [b"x"]


@given(st.binary(max_size=200))
def test_noise_is_malformed_or_has_no_parts(noise: bytes) -> None:
    for body in (noise, b"--b\r\n" + noise, b"--b\r\n" + HEAD + noise):
        try:
            list(parts(body, b"b"))
        except MalformedInput:
            continue
