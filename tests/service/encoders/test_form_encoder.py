"""A form holds the answer and the displayed pixels, and any parser of forms reads it."""

import json
from collections.abc import Mapping

import numpy as np
from starlette.datastructures import UploadFile
from starlette.requests import Request

from service.decoding.decode import DisplayedPixels
from service.encoders import form_encoder

PIXELS = np.array([[0, 1, 256], [0x0D0A, 0x2D2D, 65535]], dtype=np.uint16)


async def parts(body: bytes) -> Mapping[str, tuple[str | None, bytes]]:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    found = {}
    async with Request({"type": "http", "headers": headers}, receive).form() as form:
        for name, part in form.items():
            assert isinstance(part, UploadFile)
            found[name] = (part.content_type, await part.read())
    return found


async def test_a_form_holds_the_answer_and_the_pixels() -> None:
    displayed = DisplayedPixels(PIXELS, 10.5, 60000.0)
    form = await parts(form_encoder.encode(b'{"a": 1}', displayed, "edge"))
    assert form["answer"] == ("application/json", b'{"a": 1}')
    assert json.loads(form["display"][1]) == {
        "rows": 2,
        "columns": 3,
        "bits": 16,
        "byte_order": "little",
        "window": {"black": 10.5, "white": 60000.0},
    }
    pixels = bytes([0, 0, 1, 0, 0, 1, 0x0A, 0x0D, 0x2D, 0x2D, 255, 255])
    assert form["pixels"] == ("application/octet-stream", pixels)


async def test_a_form_without_pixels_holds_the_answer_alone() -> None:
    assert list(await parts(form_encoder.encode(b"{}", None, "edge"))) == ["answer"]
