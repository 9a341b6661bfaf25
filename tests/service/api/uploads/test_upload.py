"""Content types and form parts of an upload: each fault has its own title and reason."""

import httpx
import pytest

from tests.builders.files import sample_files
from tests.builders.service.http.problem_check import check


async def problem(client: httpx.AsyncClient, **request: object) -> tuple[str, str]:
    """Return title and detail of the problem of a request, which must be malformed input."""
    answer = check(await client.post("/segment", **request), 400, "malformed-input")  # type: ignore[arg-type]
    return answer["title"], answer["detail"]


@pytest.mark.parametrize(
    "media_type", ["application/dicom", "image/png", "image/jpeg", "application/octet-stream"]
)
async def test_an_empty_body_is_called_empty(client: httpx.AsyncClient, media_type: str) -> None:
    found = await problem(client, content=b"", headers={"content-type": media_type})
    assert found == ("The file or body is empty", "the file is empty")


async def test_an_empty_file_in_a_form_is_called_empty(client: httpx.AsyncClient) -> None:
    found = await problem(client, files={"file": ("x.png", b"", "image/png")})
    assert found == ("The file or body is empty", "the file is empty")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["image"], "a part of another name"),
        (["file", "image"], "a part of another name"),
        (["file", "file"], "several parts `file`"),
        (["phrase"], "no part `file`"),
    ],
)
async def test_a_wrong_form_says_which_part_is_wrong(
    client: httpx.AsyncClient, rectangle_png: bytes, names: list[str], reason: str
) -> None:
    parts = [(name, ("x", rectangle_png if name != "phrase" else b"lung")) for name in names]
    title, detail = await problem(client, files=parts)
    assert title == "The form or multipart body is not valid"
    assert reason in detail


PART = b"--b\r\n%b\r\n\r\nlung\r\n--b--\r\n"
REPEATED = {
    "disposition": b'Content-Disposition: form-data; name="phrase"\r\n'
    b'Content-Disposition: form-data; name="file"',
    "name": b'Content-Disposition: form-data; name="phrase"; name="file"',
    "file name": b'Content-Disposition: form-data; name="file"; filename="1"; FileName="2"',
    "media type": b'Content-Disposition: form-data; name="file"\r\n'
    b"Content-Type: image/png\r\nContent-Type: image/jpeg",
}


@pytest.mark.parametrize("header", REPEATED.values(), ids=REPEATED)
async def test_a_part_that_says_one_thing_twice_is_refused(
    client: httpx.AsyncClient, header: bytes
) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    _, detail = await problem(client, content=PART % header, headers=headers)
    assert "repeats" in detail


async def test_a_repeated_boundary_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b; boundary=c"}
    _, detail = await problem(client, content=PART % b"", headers=headers)
    assert "repeats" in detail


async def test_a_file_name_may_contain_what_looks_like_parameters(
    client: httpx.AsyncClient, rectangle_png: bytes
) -> None:
    name = '1; name=2; name=\\"3\\".png'
    header = b'Content-Disposition: form-data; name="file"; filename="%b"' % name.encode()
    body = (PART % header).replace(b"lung", rectangle_png)
    headers = {"content-type": 'multipart/form-data; boundary="b"'}
    assert (await client.post("/segment", content=body, headers=headers)).status_code == 200


async def test_a_broken_multipart_body_is_named_as_such(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    title, _ = await problem(client, content=b"abc", headers=headers)
    assert title == "The form or multipart body is not valid"


async def test_bytes_of_another_type_are_named_as_such(
    client: httpx.AsyncClient, rectangle_png: bytes
) -> None:
    title, _ = await problem(client, content=rectangle_png, headers={"content-type": "image/jpeg"})
    assert title == "The bytes do not match their declared type"


@pytest.mark.parametrize("media_type", ["image/jpg", "IMAGE/JPG", "image/pjpeg; q=1"])
async def test_other_names_of_jpeg_are_accepted(client: httpx.AsyncClient, media_type: str) -> None:
    jpeg = sample_files.jpeg_file(sample_files.bright_rectangle(40, 30, (5, 5, 20, 25)))
    raw = await client.post("/segment", content=jpeg, headers={"content-type": media_type})
    form = await client.post("/segment", files={"file": ("x.jpg", jpeg, media_type)})
    assert (raw.status_code, form.status_code) == (200, 200)
    assert raw.json()["masks"] == form.json()["masks"]


async def test_another_name_of_jpeg_must_be_true(
    client: httpx.AsyncClient, rectangle_png: bytes
) -> None:
    title, _ = await problem(client, content=rectangle_png, headers={"content-type": "image/jpg"})
    assert title == "The bytes do not match their declared type"
