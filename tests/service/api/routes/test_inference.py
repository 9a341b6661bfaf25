"""Every task over HTTP, as a raw body and as a form, with known answers in source pixels."""

import base64
import io
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from radiograph.manifest import Task
from service.api.routes.inference import _batch_key
from service.api.schemas import inference
from service.dataplane.query import PredictionQuery
from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS, Start

DICOM = {"content-type": "application/dicom"}
TASKS = ("classify", "segment", "detect", "ground?phrase=bright", "analyze?phrase=bright")
SHAPES: dict[str, type[inference.Answer]] = {
    "classify": inference.ClassifyAnswer,
    "segment": inference.SegmentAnswer,
    "detect": inference.DetectAnswer,
    "ground": inference.GroundAnswer,
    "analyze": inference.AnalyzeAnswer,
}


async def ask(client: httpx.AsyncClient, path: str, body: bytes, **headers: str) -> Any:
    response = await client.post(path, content=body, headers=DICOM | headers)
    assert response.status_code == 200, response.text
    return response.json()


def numbers(value: object) -> Iterator[float]:
    """Yield every number in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield float(value)


def test_repeated_analyses_delay_others_by_the_share_of_their_own_queue() -> None:
    tasks = [(Task.CLASSIFY,), (Task.SEGMENT,), (Task.CLASSIFY, Task.SEGMENT), ()]
    plain = {_batch_key(PredictionQuery(several)) for several in tasks}
    repeated = {_batch_key(PredictionQuery(several, uncertainty="tta")) for several in tasks}
    assert plain == {"classify", "segment", "analyze"}
    assert repeated == {"classify-tta", "segment-tta", "analyze-tta"}


@pytest.mark.parametrize("path", TASKS)
@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_every_answer_matches_its_schema(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str, prefix: str
) -> None:
    answer = await ask(client, f"{prefix}/{path}", rectangle_dicom)
    shape = SHAPES[path.partition("?")[0]]
    shape.model_validate(answer, strict=False)
    assert answer["model"]["name"] == "tiny"
    assert len(answer["model"]["digest"]) == 64
    assert answer["image"] == {
        "rows": ROWS,
        "columns": COLUMNS,
        "pixel_spacing_mm": [0.2, 0.2],
        "photometric_interpretation": "MONOCHROME2",
        "view_position": "PA",
        "sop_instance_uid": "1.2.826.0.1.3680043.8.498.1",
        "turned": "none",
        "laterality": "assumed",
    }
    assert answer["timings_ms"]["total"] > answer["timings_ms"]["trunk"]


async def test_findings_follow_the_mean_brightness(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    bright = RECTANGLE[2] - RECTANGLE[0], RECTANGLE[3] - RECTANGLE[1]
    mean = (bright[0] * bright[1]) * (64 / ROWS) ** 2 / 64**2
    answer = await ask(client, "/classify", rectangle_dicom)
    opacity, none = answer["findings"]
    assert opacity["name"] == "Lung opacity"
    assert opacity["code"] == {"scheme": "RADLEX", "value": "RID28530", "meaning": "opacity"}
    assert opacity["probability"] == pytest.approx(1 / (1 + math.exp(10 - 20 * mean)), rel=1e-3)
    assert opacity["positive"] is False
    assert none["positive"] is True


async def test_masks_lie_where_the_image_is_bright(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    answer = await ask(client, "/segment", rectangle_dicom)
    bright, dark = answer["masks"]
    mask = coco_rle.decode(bright["rle"]["counts"], *bright["rle"]["size"])
    assert bright["rle"]["encoding"] == "coco_uncompressed"
    expected = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE) > 0
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9
    assert bright["area_px"] == mask.sum()
    assert bright["area_mm2"] == pytest.approx(mask.sum() * 0.04)
    assert bright["box"] == pytest.approx(RECTANGLE, abs=2)
    assert bright["area_px"] + dark["area_px"] == pytest.approx(ROWS * COLUMNS, abs=300)


async def test_boxes_lie_on_the_bright_cells_in_source_pixels(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    answer = await ask(client, "/detect", rectangle_dicom)
    boxes = {tuple(item["box"]) for item in answer["boxes"]}
    side = ROWS // 8
    expected = {
        (x, y, x + side, y + side)
        for x in range(RECTANGLE[0], RECTANGLE[2], side)
        for y in range(RECTANGLE[1], RECTANGLE[3], side)
    }
    assert boxes == expected


async def test_a_phrase_is_found_at_its_place(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    answer = await ask(client, "/ground?phrase=bright&phrase=dark", rectangle_dicom)
    bright, dark = answer["phrases"]
    assert (bright["phrase"], bright["method"]) == ("bright", "aligned")
    assert bright["similarity"] > 0.99
    assert bright["box"] == pytest.approx(RECTANGLE)
    assert RECTANGLE[0] < bright["peak"][0] < RECTANGLE[2]
    assert RECTANGLE[1] < bright["peak"][1] < RECTANGLE[3]
    assert dark["peak"] != bright["peak"]


async def test_a_phrase_that_is_not_in_the_image_scores_low(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    answer = await ask(client, "/ground?phrase=bright&phrase=elephant", rectangle_dicom)
    there, absent = answer["phrases"]
    assert absent["similarity"] < 0.01 < there["similarity"]
    assert absent["box"] is None


async def test_heat_maps_as_png_and_as_numbers_are_the_same(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    path = "/ground?phrase=bright&heatmap="
    png = (await ask(client, path + "png", rectangle_dicom))["phrases"][0]["heatmap"]
    plain = (await ask(client, path + "float", rectangle_dicom))["phrases"][0]["heatmap"]
    none = (await ask(client, path + "none", rectangle_dicom))["phrases"][0]["heatmap"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(png["data"]))))
    assert picture.shape == (png["rows"], png["columns"]) == (8, 6)
    assert picture / 255 == pytest.approx(np.array(plain["data"]), abs=1 / 255)
    assert none["data"] is None
    assert png["range"] == [0, 1]


async def test_the_grounding_method_can_be_chosen(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    answer = await ask(client, "/ground?phrase=bright&method=zero_shot", rectangle_dicom)
    assert [item["method"] for item in answer["phrases"]] == ["zero_shot"]


async def test_analyze_answers_the_named_tasks_only(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    some = await ask(client, "/analyze?tasks=segment,classify", rectangle_dicom)
    assert {"findings", "masks", "boxes", "phrases"} & set(some) == {"findings", "masks"}
    every = await ask(client, "/analyze", rectangle_dicom)
    assert {"findings", "masks", "boxes", "phrases"} & set(every) == {"findings", "masks", "boxes"}


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "application/octet-stream"])
async def test_png_and_jpeg_give_the_masks_of_the_dicom_file(
    client: httpx.AsyncClient, rectangle_dicom: bytes, rectangle_png: bytes, kind: str
) -> None:
    pixels = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    body = sample_files.jpeg_file(pixels) if kind == "image/jpeg" else rectangle_png
    answer = await ask(client, "/segment", body, **{"content-type": kind})
    expected = await ask(client, "/segment", rectangle_dicom)
    assert answer["masks"][0]["box"] == expected["masks"][0]["box"]
    assert answer["masks"][0]["area_mm2"] is None
    assert answer["image"]["sop_instance_uid"] is None


async def test_a_form_answers_like_a_raw_body(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    files = {"file": ("x.dcm", rectangle_dicom, "application/octet-stream")}
    form = await client.post("/ground", files=files, data={"phrase": ["bright", "dark"]})
    raw = await ask(client, "/ground?phrase=bright&phrase=dark", rectangle_dicom)
    assert form.status_code == 200, form.text
    assert form.json()["phrases"] == raw["phrases"]


async def test_an_inverted_monochrome1_copy_gets_the_same_answer(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    pixels = 4095 - sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    inverted = sample_files.dicom_file(pixels, "MONOCHROME1")
    path = "/analyze?phrase=bright"
    expected, answer = await ask(client, path, rectangle_dicom), await ask(client, path, inverted)
    for task in ("findings", "masks", "boxes", "phrases"):
        assert answer[task] == expected[task]
    header_only = sample_files.dicom_file(4095 - pixels, "MONOCHROME1")
    assert (await ask(client, path, header_only))["masks"] != expected["masks"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((40, 30), np.uint16),
        np.full((40, 30), 4095, np.uint16),
        np.zeros((1, 1), np.uint16),
        np.arange(200, dtype=np.uint16)[None],
        np.arange(200, dtype=np.uint16)[:, None],
    ],
    ids=["flat", "saturated", "one pixel", "one row", "one column"],
)
async def test_images_without_information_give_finite_numbers(
    client: httpx.AsyncClient, pixels: sample_files.Pixels
) -> None:
    path = "/analyze?phrase=bright&heatmap=float"
    answer = await ask(client, path, sample_files.dicom_file(pixels))
    assert all(math.isfinite(number) for number in numbers(answer))


async def test_an_out_of_domain_image_is_flagged(client: httpx.AsyncClient) -> None:
    flat = sample_files.dicom_file(np.zeros((40, 40), np.uint16))
    answer = await ask(client, "/classify", flat)
    assert answer["out_of_domain"]["outside"] is True
    assert "out_of_domain" in [item["code"] for item in answer["warnings"]]
    half = sample_files.dicom_file(sample_files.bright_rectangle(80, 80, (0, 0, 80, 40)))
    usual = await ask(client, "/classify", half)
    assert usual["out_of_domain"]["outside"] is False
    assert usual["warnings"] == []


async def test_a_lateral_view_is_a_warning(client: httpx.AsyncClient) -> None:
    pixels = sample_files.bright_rectangle(80, 80, (0, 0, 80, 40))
    lateral = sample_files.dicom_file(pixels, ViewPosition="LL")
    answer = await ask(client, "/classify", lateral)
    assert [item["code"] for item in answer["warnings"]] == ["lateral_view"]


async def test_an_answer_does_not_name_the_patient(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    response = await client.post("/analyze", content=rectangle_dicom, headers=DICOM)
    assert "Jane" not in response.text
    assert "4711" not in response.text


@pytest.mark.parametrize("path", TASKS)
async def test_every_task_has_an_overlay_of_the_size_of_the_source(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str
) -> None:
    headers = DICOM | {"accept": "image/png"}
    response = await client.post(path, content=rectangle_dicom, headers=headers)
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).size == (COLUMNS, ROWS)


async def test_a_large_overlay_is_reduced_to_the_cap(start: Start, rectangle_dicom: bytes) -> None:
    async with start(overlay_side_px=80) as (_, client):
        headers = DICOM | {"accept": "image/png"}
        response = await client.post("/segment", content=rectangle_dicom, headers=headers)
    assert Image.open(io.BytesIO(response.content)).size == (60, 80)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
async def test_an_overlay_has_the_accepted_format_and_the_size_that_was_asked_for(
    client: httpx.AsyncClient, rectangle_dicom: bytes, media_type: str
) -> None:
    headers = DICOM | {"accept": f"application/json;q=0.5, {media_type}"}
    response = await client.post(
        "/segment?overlay_side_px=80", content=rectangle_dicom, headers=headers
    )
    assert response.headers["content-type"] == media_type
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.size, picture.get_format_mimetype()) == ((60, 80), media_type)


@pytest.mark.parametrize("value", ["63", "129", "0", "-1", "1e2", "99999999999999999999", ""])
@pytest.mark.parametrize("path", TASKS)
async def test_an_overlay_of_another_size_than_allowed_is_refused(
    start: Start, rectangle_dicom: bytes, path: str, value: str
) -> None:
    separator = "&" if "?" in path else "?"
    async with start(overlay_side_px=128) as (_, client):
        response = await client.post(
            f"/{path}{separator}overlay_side_px={value}", content=rectangle_dicom, headers=DICOM
        )
    assert response.status_code == 422
    assert response.json()["type"].endswith("invalid-parameters")
    assert response.json()["errors"][0]["where"] == "query.overlay_side_px"


@pytest.mark.parametrize("path", ["segment", "analyze?tasks=segment"])
async def test_masks_can_be_asked_for_in_the_compressed_form(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str
) -> None:
    plain = await ask(client, f"/{path}", rectangle_dicom)
    separator = "&" if "?" in path else "?"
    compressed = await ask(client, f"/{path}{separator}rle=compressed", rectangle_dicom)
    for before, after in zip(plain["masks"], compressed["masks"], strict=True):
        assert before["rle"]["encoding"] == "coco_uncompressed"
        assert after["rle"]["encoding"] == "coco_compressed"
        assert after["rle"]["counts"] == coco_rle.compress(before["rle"]["counts"])


@pytest.mark.parametrize("query", ["segment?rle=zip", "segment?rle=", "classify?rle=compressed"])
async def test_an_unknown_form_of_run_lengths_is_refused(
    client: httpx.AsyncClient, rectangle_dicom: bytes, query: str
) -> None:
    response = await client.post(f"/{query}", content=rectangle_dicom, headers=DICOM)
    assert response.status_code == 422


async def form_of(response: httpx.Response) -> dict[str, bytes]:
    """Return the parts of a `multipart/form-data` answer."""
    assert response.status_code == 200, response.text
    boundary = response.headers["content-type"].partition("boundary=")[2]
    parts = response.content.split(f"--{boundary}".encode())[1:-1]
    found = {}
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        found[head.split(b'name="')[1].split(b'"')[0].decode()] = data[:-2]
    return found


async def test_a_viewer_gets_answer_and_pixels_in_one_response(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    headers = DICOM | {"accept": "multipart/form-data"}
    response = await client.post("/v1/analyze", content=rectangle_dicom, headers=headers)
    form = await form_of(response)
    inference.AnalyzeAnswer.model_validate_json(form["answer"], strict=False)
    display = json.loads(form["display"])
    assert (display["rows"], display["columns"]) == (ROWS, COLUMNS)
    pixels = np.frombuffer(form["pixels"], "<u2").reshape(ROWS, COLUMNS)
    x0, y0, x1, y1 = RECTANGLE
    assert (pixels[y0:y1, x0:x1] == 65535).all()
    assert pixels.sum(dtype=np.int64) == 65535 * (x1 - x0) * (y1 - y0)


async def test_the_pixels_of_a_viewer_have_a_largest_side(
    start: Start, rectangle_dicom: bytes
) -> None:
    headers = DICOM | {"accept": "multipart/form-data"}
    async with start(pixels_side_px=100) as (_, client):
        for query, side in (("", 100), ("?pixels_side_px=80", 80)):
            path = f"/v1/analyze{query}"
            response = await client.post(path, content=rectangle_dicom, headers=headers)
            assert json.loads((await form_of(response))["display"])["rows"] == side
        too_large = await client.post(
            "/v1/analyze?pixels_side_px=101", content=rectangle_dicom, headers=headers
        )
        assert too_large.status_code == 422
        assert too_large.json()["errors"][0]["where"] == "query.pixels_side_px"


async def test_only_analyze_answers_with_pixels(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    headers = DICOM | {"accept": "multipart/form-data"}
    refused = await client.post("/v1/segment", content=rectangle_dicom, headers=headers)
    assert refused.status_code == 406
