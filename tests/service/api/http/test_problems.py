"""Every error is a problem with the right status and without patient data."""

import gzip
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from radiograph.errors import (
    AlteredVersion,
    InputError,
    InvalidVersion,
    MalformedInput,
    RadiographError,
    UnloadableVersion,
    UnsignedVersion,
    UnusableImage,
)
from service.api.http import problems
from service.api.schemas.problems import Problem
from tests.builders.files import sample_files
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}


def tree(root: type[RadiographError]) -> Iterator[type[RadiographError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_error_class_has_a_kind() -> None:
    ours = [
        error
        for error in tree(RadiographError)
        if error.__module__ in ("radiograph.errors", "service.errors")
    ]
    assert set(problems.KINDS) == set(ours)


def test_a_type_of_problem_has_one_status() -> None:
    kinds = set(problems.KINDS.values())
    assert len({(kind.type, kind.status) for kind in kinds}) == len({kind.type for kind in kinds})


def test_titles_tell_all_kinds_of_problems_apart() -> None:
    kinds = set(problems.KINDS.values())
    assert len({kind.title for kind in kinds}) == len(kinds)


def test_errors_share_a_type_only_within_malformed_input() -> None:
    for error, kind in problems.KINDS.items():
        if kind.type == problems.MALFORMED.type:
            assert issubclass(error, MalformedInput)
    others = {kind for kind in problems.KINDS.values() if kind.type != problems.MALFORMED.type}
    assert len({kind.type for kind in others}) == len(others)


def test_an_error_without_a_kind_has_that_of_its_base_class() -> None:
    class Upside(UnusableImage):
        pass

    assert problems.kind_of(Upside("x")) == problems.KINDS[UnusableImage]


def test_an_error_of_the_client_is_never_a_500() -> None:
    for error, kind in problems.KINDS.items():
        if issubclass(error, InputError):
            assert 400 <= kind.status < 500


async def test_errors_of_the_framework_are_problems(client: httpx.AsyncClient) -> None:
    check(await client.get("/nothing/here"), 404, "not-found")
    wrong_method = await client.get("/v1/segment")
    check(wrong_method, 405, "method-not-allowed")
    assert wrong_method.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/classify?versoin=2", "query.versoin"),
        ("/classify?phrase=left", "query.phrase"),
        ("/ground?phrase=left&heatmap=jpeg", "query.heatmap"),
        ("/ground?phrase=left&method=magic", "query.method"),
        ("/analyze?tasks=segment,levitate", "query.tasks"),
        ("/analyze?tasks=", "query.tasks"),
        ("/analyze?tasks=segment&tasks=levitate", "query.tasks"),
    ],
)
async def test_an_invalid_parameter_is_named(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str, where: str
) -> None:
    response = await client.post(path, content=rectangle_dicom, headers=DICOM)
    body = check(response, 422, "invalid-parameters")
    assert body["errors"][0]["where"] == where


@pytest.mark.parametrize("accept", ["text/html", "text/csv", "image/avif;q=1", "image/png;q=0"])
async def test_an_unsupported_format_is_406(
    client: httpx.AsyncClient, rectangle_dicom: bytes, accept: str
) -> None:
    headers = DICOM | {"accept": accept}
    response = await client.post("/segment", content=rectangle_dicom, headers=headers)
    check(response, 406, "not-acceptable")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/plain"},
        {"content-type": "garbage; ; ;=\x7f"},
        DICOM | {"content-encoding": "gzip"},
        DICOM | {"content-encoding": "identity, gzip"},
    ],
)
async def test_an_unsupported_encoding_is_415(
    client: httpx.AsyncClient, rectangle_dicom: bytes, headers: dict[str, str]
) -> None:
    body = gzip.compress(rectangle_dicom)
    response = await client.post("/segment", content=body, headers=headers)
    check(response, 415, "unsupported-encoding")


@pytest.mark.parametrize(
    ("body", "kind", "status", "slug"),
    [
        (b"", "application/dicom", 400, "malformed-input"),
        (b"not a picture", "image/png", 400, "malformed-input"),
        (b"%PDF-1.7 nor this", "application/octet-stream", 415, "unsupported-encoding"),
        (sample_files.colour_png_file(), "image/png", 422, "colour-image"),
    ],
)
async def test_an_unusable_body_has_the_problem_of_its_kind(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int, slug: str
) -> None:
    response = await client.post("/segment", content=body, headers={"content-type": kind})
    check(response, status, slug)


@pytest.mark.parametrize(
    ("elements", "slug"),
    [
        ({"Modality": "CT"}, "wrong-modality"),
        ({"NumberOfFrames": 3}, "multi-frame-image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour-image"),
    ],
)
async def test_a_valid_object_that_is_no_radiograph_is_422(
    client: httpx.AsyncClient, elements: dict[str, Any], slug: str
) -> None:
    pixels = sample_files.bright_rectangle(40, 40, (0, 0, 20, 20))
    body = sample_files.dicom_file(pixels, **elements)
    response = await client.post("/segment", content=body, headers=DICOM)
    answer = check(response, 422, slug)
    assert "Jane" not in json.dumps(answer)


async def test_more_pixels_than_the_limit_are_413(start: Start, rectangle_dicom: bytes) -> None:
    async with start(max_pixels=1024) as (_, client):
        response = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
    check(response, 413, "input-too-large")


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ("model=other", 404, "model-not-found"),
        ("model=../tiny", 404, "model-not-found"),
        ("model=/etc/passwd", 404, "model-not-found"),
        ("version=2", 404, "model-not-found"),
        ("version=canary", 404, "model-not-found"),
        ("version=../1", 404, "model-not-found"),
    ],
)
async def test_a_model_that_is_not_served_is_404(
    client: httpx.AsyncClient, rectangle_dicom: bytes, query: str, status: int, slug: str
) -> None:
    response = await client.post(f"/segment?{query}", content=rectangle_dicom, headers=DICOM)
    body = check(response, status, slug)
    assert "tiny/1 (stable)" in body["detail"]


@pytest.mark.parametrize("version", ["stable", "1"])
async def test_a_version_is_found_by_alias_and_by_number(
    client: httpx.AsyncClient, rectangle_dicom: bytes, version: str
) -> None:
    path = f"/segment?model=tiny&version={version}"
    response = await client.post(path, content=rectangle_dicom, headers=DICOM)
    assert response.headers["x-model-version"] == "tiny/1"


PHRASES = {
    "missing": [],
    "empty": [""],
    "white space": [" \t\n "],
    "NUL": ["left\0lung"],
    "escape": ["left\x1b[31m"],
    "bidirectional override": ["left \u202e gnul"],
    "too long": ["left " * 20],
    "a megabyte": ["x" * 1_000_000],
    "too many tokens": ["left " * 11],
    "too many": ["left"] * 9,
    "private use": ["\ue000"],
}


@pytest.mark.parametrize("phrases", PHRASES.values(), ids=PHRASES)
async def test_an_unusable_phrase_is_422(
    client: httpx.AsyncClient, rectangle_dicom: bytes, phrases: list[str]
) -> None:
    files = {"file": ("x.dcm", rectangle_dicom, "application/dicom")}
    response = await client.post("/ground", files=files, data={"phrase": phrases})
    check(response, 422, "unusable-phrase")


@pytest.mark.parametrize(
    "phrase", ["الرئة اليسرى", "левое лёгкое", "left  lung\n", "肺", "a\u0301"]
)
async def test_a_phrase_of_any_script_is_answered(
    client: httpx.AsyncClient, rectangle_dicom: bytes, phrase: str
) -> None:
    response = await client.post(
        "/ground", params={"phrase": phrase}, content=rectangle_dicom, headers=DICOM
    )
    assert response.status_code == 200, response.text


async def test_a_phrase_for_another_task_than_grounding_is_422(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    files = {"file": ("x.dcm", rectangle_dicom, "application/dicom")}
    response = await client.post("/segment", files=files, data={"phrase": "left"})
    check(response, 422, "unusable-phrase")


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "1e9", "301", "٣"])
async def test_an_invalid_timeout_is_400(
    client: httpx.AsyncClient, rectangle_dicom: bytes, value: str
) -> None:
    headers = [("content-type", "application/dicom"), ("x-request-timeout", value.encode())]
    response = await client.post("/segment", content=rectangle_dicom, headers=headers)  # type: ignore[arg-type]
    check(response, 400, "malformed-input")


async def test_an_unexpected_error_is_a_problem_that_quotes_nothing(
    start: Start,
    rectangle_dicom: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr("service.decoding.decode.to_input", fail)
    async with start(decode_workers=0) as (_, client):
        with caplog.at_level(logging.DEBUG):
            response = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
    check(response, 500, "internal-error")
    logged = [record.getMessage() + str(getattr(record, "fields", "")) for record in caplog.records]
    assert any("unexpected ValueError" in line and "decode.py" in line for line in logged)
    assert "Jane" not in response.text + "".join(logged)


GARBAGE = {
    "zeros": bytes(10_000),
    "ones": b"\xff" * 10_000,
    "text": b"GET / HTTP/1.1\r\n\r\n" * 20,
    "preamble only": bytes(128) + b"DICM",
    "preamble and noise": bytes(128) + b"DICM" + bytes(range(256)) * 8,
    "png signature": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "jpeg signature": b"\xff\xd8\xff\xe0" + b"\0" * 100,
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0cos\nsystem\n.",
    "ELF in a preamble": b"\x7fELF".ljust(128, b"\0") + b"DICM",
    "zip": b"PK\x03\x04" + b"\0" * 50,
}


@pytest.mark.parametrize(
    "kind", ["application/dicom", "application/octet-stream", "image/png", "image/jpeg"]
)
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_a_4xx(client: httpx.AsyncClient, body: bytes, kind: str) -> None:
    response = await client.post("/analyze", content=body, headers={"content-type": kind})
    assert 400 <= response.status_code < 500, response.text
    Problem.model_validate(response.json())


@pytest.mark.parametrize("part", range(0, 100, 9))
async def test_a_truncated_file_is_never_a_5xx(
    client: httpx.AsyncClient, rectangle_dicom: bytes, rectangle_png: bytes, part: int
) -> None:
    for body in (rectangle_dicom, rectangle_png):
        cut = body[: len(body) * part // 100]
        response = await client.post(
            "/segment", content=cut, headers={"content-type": "application/octet-stream"}
        )
        assert response.status_code < 500, response.text


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (UnusableImage("x"), 422, "unusable-image"),
        (InvalidVersion("x"), 500, "invalid-version"),
        (AlteredVersion("x"), 500, "altered-version"),
        (UnsignedVersion("x"), 500, "unsigned-version"),
        (UnloadableVersion("x"), 500, "unloadable-version"),
        (HTTPException(406), 406, "not-acceptable"),
        (RequestValidationError([]), 422, "invalid-parameters"),
        (KeyError("x"), 500, "internal-error"),
    ],
)
def test_the_outcome_of_an_error_is_that_of_its_answer(
    error: Exception, status: int, slug: str
) -> None:
    assert problems.outcome_of(error) == (status, f"urn:g2d:problem:{slug}")
