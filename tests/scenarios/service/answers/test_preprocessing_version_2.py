"""A version whose manifest asks for preprocessing of version 2 is loaded, replayed and served."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from radiograph.geometry.orientation import Orientation
from radiograph.preprocess import PreprocessSpec
from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.builders.models.versions import tiny_version
from tests.fixtures.service import Start

HEADERS = {"content-type": "application/dicom"}
ROWS, COLUMNS = 200, 160
FIELD = (40, 20, 140, 180)
"""x0, y0, x1, y1 of what is exposed; the rest is black."""
BRIGHT = (60, 40, 100, 100)


def spec(crop: str) -> PreprocessSpec:
    return PreprocessSpec.model_validate(
        {
            "version": 2,
            "size_px": tiny_version.SIZE_PX,
            "low_percentile": 0,
            "high_percentile": 100,
            "crop": crop,
        }
    )


def collimated() -> sample_files.Pixels:
    """Return a dark field with a bright rectangle, in a wide black border."""
    pixels = np.zeros((ROWS, COLUMNS), dtype=np.uint16)
    x0, y0, x1, y1 = FIELD
    pixels[y0:y1, x0:x1] = 1000
    pixels[y0:y1:7, x0:x1:7] = 1200
    x0, y0, x1, y1 = BRIGHT
    pixels[y0:y1, x0:x1] = 4000
    return pixels


async def ask(client: httpx.AsyncClient, path: str, body: bytes, accept: str) -> httpx.Response:
    response = await client.post(path, content=body, headers={**HEADERS, "accept": accept})
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("directions", ["L\\F", "F\\R"])
@pytest.mark.parametrize("crop", ["none", "exposed_field"])
async def test_results_are_in_source_pixels(
    start: Start, tmp_path: Path, crop: str, directions: str
) -> None:
    tiny_version.publish(tmp_path / "v2", preprocess=spec(crop))
    orientation = Orientation.from_directions(directions.split("\\"))
    assert orientation is not None
    stored = np.ascontiguousarray(orientation.turn_back(collimated()))
    file = sample_files.dicom_file(stored, PatientOrientation=directions)
    async with start(models_dir=tmp_path / "v2") as (_, client):
        segmented: Any = (await ask(client, "/segment", file, "application/json")).json()
        located: Any = (await ask(client, "/ground?phrase=bright", file, "application/json")).json()
        overlay = await ask(client, "/segment", file, "image/png")
    assert segmented["preprocessing"]["version"] == 2
    bright = segmented["masks"][0]
    assert tuple(bright["rle"]["size"]) == stored.shape
    box = orientation.box(tuple(bright["box"]), *stored.shape)
    assert box == pytest.approx(BRIGHT, abs=6)
    mask = orientation.turn(coco_rle.decode(bright["rle"]["counts"], *stored.shape))
    assert mask[45:95, 65:95].mean() > 0.95
    phrase = located["phrases"][0]
    x, y = orientation.point(*phrase["peak"], *stored.shape)
    assert BRIGHT[0] <= x <= BRIGHT[2]
    assert BRIGHT[1] <= y <= BRIGHT[3]
    heatmap = phrase["heatmap"]
    upright = orientation.upright_shape(heatmap["rows"], heatmap["columns"])
    assert upright[0] / upright[1] == pytest.approx(ROWS / COLUMNS, rel=0.25)
    assert overlay.headers["content-type"] == "image/png"


async def test_a_version_whose_golden_outputs_differ_is_not_served(
    start: Start, tmp_path: Path
) -> None:
    def faulty(folder: Path) -> None:
        arrays = dict(np.load(folder / "golden.npz"))
        arrays["findings.logits"] = arrays["findings.logits"] + 1
        np.savez(folder / "golden.npz", **arrays)

    root = tmp_path / "v2"
    tiny_version.publish(root, preprocess=spec("none"))
    tiny_version.publish(root, preprocess=spec("none"), change=faulty)
    async with start(models_dir=root) as (_, client):
        state: Any = (await client.get("/v1/models/tiny/versions/2")).json()
    assert state["state"] == "failed"
    assert "golden" in state["reason"]
