"""Header fields on several lines: lists are joined, single values are refused."""

import httpx
import pytest

from tests.builders.service.http.problem_check import check

DICOM = ("content-type", "application/dicom")
PNG = b"\x89PNG\r\n\x1a\n"


async def test_accept_lines_are_one_list(client: httpx.AsyncClient, rectangle_dicom: bytes) -> None:
    lines = [DICOM, ("accept", "application/json;q=0.1"), ("accept", "image/png")]
    response = await client.post("/segment", content=rectangle_dicom, headers=lines)
    assert response.headers["content-type"] == "image/png"
    assert response.content.startswith(PNG)


async def test_no_line_of_content_encoding_is_overlooked(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    lines = [DICOM, ("content-encoding", "identity"), ("content-encoding", "gzip")]
    response = await client.post("/segment", content=rectangle_dicom, headers=lines)
    check(response, 415, "unsupported-encoding")


@pytest.mark.parametrize("name", ["content-type", "x-request-timeout"])
async def test_a_repeated_single_value_is_refused(
    client: httpx.AsyncClient, rectangle_dicom: bytes, name: str
) -> None:
    values = {"content-type": ("image/png", "application/dicom"), "x-request-timeout": ("5", "9")}
    lines = [DICOM] if name != "content-type" else []
    lines += [(name, value) for value in values[name]]
    response = await client.post("/segment", content=rectangle_dicom, headers=lines)
    assert name in check(response, 400, "malformed-input")["detail"]


async def test_a_repeated_idempotency_key_is_refused(client: httpx.AsyncClient) -> None:
    lines = [("idempotency-key", "one"), ("idempotency-key", "two")]
    check(await client.get("/v1/jobs", headers=lines), 400, "malformed-input")
