"""Masks over HTTP with and without the cleaning that a manifest may ask for."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from radiograph.manifest import MaskCleaning
from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.builders.models.versions import tiny_version
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS, Start

WHOLE = MaskCleaning(largest=1, fill_holes=True)
PNG = {"content-type": "image/png"}
CELL = 10
"""Source pixels for each cell of the mask."""


def picture(*, rough: bool) -> bytes:
    """A bright rectangle of 4 x 4 cells, perhaps with a dark cell inside and a bright one apart."""
    pixels = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    if rough:
        pixels[50 : 50 + CELL, 30 : 30 + CELL] = 0
        pixels[140 : 140 + CELL, 100 : 100 + CELL] = pixels.max()
    return sample_files.png_file(pixels)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions with the same graphs: `stable` cleans its masks, `canary` does not."""
    root = tmp_path_factory.mktemp("models")
    tiny_version.publish(root, clean=WHOLE)
    tiny_version.publish(root, alias="canary")
    return root


async def left_lung(client: httpx.AsyncClient, data: bytes, version: str) -> Any:
    answer = await client.post(f"/segment?version={version}", content=data, headers=PNG)
    assert answer.status_code == 200, answer.text
    return answer.json()["masks"][0]


async def test_a_clean_mask_and_its_box_are_those_of_the_sound_picture(
    start: Start, models: Path
) -> None:
    async with start(models_dir=models) as (_, client):
        sound = await left_lung(client, picture(rough=False), "stable")
        rough = await left_lung(client, picture(rough=True), "canary")
        clean = await left_lung(client, picture(rough=True), "stable")
    assert clean == sound
    assert clean["box"] == list(map(float, RECTANGLE))
    assert clean["area_px"] == 1560  # 40 x 40 with rounded corners
    assert rough["box"] == [20.0, 40.0, 110.0, 150.0]
    mask = coco_rle.decode(rough["rle"]["counts"], *rough["rle"]["size"])
    assert not mask[55, 35]
    assert mask[145, 105]


async def test_an_overlay_shows_the_clean_mask(start: Start, models: Path) -> None:
    drawn = []
    async with start(models_dir=models) as (_, client):
        for version in ("stable", "canary"):
            answer = await client.post(
                f"/segment?version={version}",
                content=picture(rough=True),
                headers=PNG | {"accept": "image/png"},
            )
            assert answer.status_code == 200
            drawn.append(np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")))
    clean, rough = drawn
    hole, island = np.s_[53:57, 33:37], np.s_[143:147, 103:107]
    assert (clean[hole] != rough[hole]).any()
    assert (clean[island] != rough[island]).any()


async def test_a_version_is_described_with_its_cleaning_or_without(
    start: Start, models: Path
) -> None:
    async with start(models_dir=models) as (_, client):
        answers = [await client.get(f"/v1/models/tiny/versions/{version}") for version in (1, 2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert '"clean":{"largest":1,"min_share":0.0,"fill_holes":true}' in answers[0].text
    assert "clean" not in answers[1].text
