"""Content types and form parts of an upload: each fault has its own title and reason."""

import httpx
import pytest

from tests.builders.files import sample_files
from tests.builders.service.problem_check import check


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
