"""A radiograph that is stored mirrored, rotated or both is answered as the upright one is."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.orientation import Orientation
from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

HEADERS = {"content-type": "application/dicom"}
DIRECTIONS = ["L\\F", "R\\F", "R\\H", "L\\H", "F\\L", "H\\L", "F\\R", "H\\R"]
UPRIGHT = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)


def turned_file(directions: str) -> tuple[bytes, Orientation, tuple[int, int]]:
    """The upright picture as a device stores it that writes these directions."""
    orientation = Orientation.from_directions(directions.split("\\"))
    assert orientation is not None
    stored = np.ascontiguousarray(orientation.turn_back(UPRIGHT))
    rows, columns = stored.shape
    file = sample_files.dicom_file(stored, PatientOrientation=directions)
    return file, orientation, (rows, columns)


async def ask(client: httpx.AsyncClient, path: str, body: bytes) -> Any:
    response = await client.post(path, content=body, headers=HEADERS)
    assert response.status_code == 200, response.text
    return response.json()


def mask_of(mask: Any) -> NDArray[np.bool_]:
    return coco_rle.decode(mask["rle"]["counts"], *mask["rle"]["size"])


def heatmap_of(phrase: Any) -> NDArray[np.uint8]:
    data = base64.b64decode(phrase["heatmap"]["data"])
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("directions", DIRECTIONS)
async def test_findings_are_those_of_the_upright_image(
    client: httpx.AsyncClient, directions: str
) -> None:
    upright = await ask(client, "/classify", turned_file("L\\F")[0])
    file, orientation, _ = turned_file(directions)
    answer = await ask(client, "/classify", file)
    assert answer["image"]["turned"] == orientation.name
    assert answer["image"]["laterality"] == "asserted"
    expected = [finding["probability"] for finding in upright["findings"]]
    assert [f["probability"] for f in answer["findings"]] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("directions", DIRECTIONS)
async def test_masks_are_turned_back(client: httpx.AsyncClient, directions: str) -> None:
    upright = await ask(client, "/segment", turned_file("L\\F")[0])
    file, orientation, shape = turned_file(directions)
    answer = await ask(client, "/segment", file)
    assert (answer["image"]["rows"], answer["image"]["columns"]) == shape
    assert len(answer["masks"]) == len(upright["masks"]) > 0
    for mask, expected in zip(answer["masks"], upright["masks"], strict=True):
        assert np.array_equal(orientation.turn(mask_of(mask)), mask_of(expected))
        assert mask["area_px"] == expected["area_px"] > 0
        box = orientation.box(tuple(mask["box"]), *shape)
        assert box == pytest.approx(expected["box"])


@pytest.mark.parametrize("directions", DIRECTIONS)
async def test_boxes_are_turned_back(client: httpx.AsyncClient, directions: str) -> None:
    upright = await ask(client, "/detect", turned_file("L\\F")[0])
    file, orientation, shape = turned_file(directions)
    answer = await ask(client, "/detect", file)
    assert len(answer["boxes"]) == len(upright["boxes"]) > 0
    for found, expected in zip(answer["boxes"], upright["boxes"], strict=True):
        assert orientation.box(tuple(found["box"]), *shape) == pytest.approx(expected["box"])


@pytest.mark.parametrize("directions", DIRECTIONS)
async def test_phrases_are_turned_back(client: httpx.AsyncClient, directions: str) -> None:
    (expected,) = (await ask(client, "/ground?phrase=bright", turned_file("L\\F")[0]))["phrases"]
    file, orientation, shape = turned_file(directions)
    (phrase,) = (await ask(client, "/ground?phrase=bright", file))["phrases"]
    assert np.array_equal(orientation.turn(heatmap_of(phrase)), heatmap_of(expected))
    x, y = phrase["peak"]
    assert orientation.point(x, y, *shape) == pytest.approx(expected["peak"])
    assert orientation.box(tuple(phrase["box"]), *shape) == pytest.approx(expected["box"])


@pytest.mark.parametrize("directions", DIRECTIONS)
async def test_an_overlay_shows_the_stored_pixels(
    client: httpx.AsyncClient, directions: str
) -> None:
    file, _, shape = turned_file(directions)
    headers = HEADERS | {"accept": "image/png"}
    response = await client.post("/segment", content=file, headers=headers)
    assert Image.open(io.BytesIO(response.content)).size == shape[::-1]


async def test_only_names_with_a_side_have_a_laterality(client: httpx.AsyncClient) -> None:
    path = "/ground?phrase=left%20lung&phrase=bright"
    answer = await ask(client, path, turned_file("L\\F")[0])
    assert [phrase["laterality"] for phrase in answer["phrases"]] == ["asserted", None]
    bare = sample_files.dicom_file(UPRIGHT)
    answer = await ask(client, path, bare)
    assert [phrase["laterality"] for phrase in answer["phrases"]] == ["assumed", None]
