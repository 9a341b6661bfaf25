"""DICOM objects over HTTP: one, or all of them, in the study of the radiograph."""

from email import message_from_bytes, policy
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.builders.service.results.dicom_results import SERIES, STUDY
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

pytest.importorskip("highdicom")

RELATED = 'multipart/related; type="application/dicom"'
PIXELS = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
FILE = sample_files.dicom_file(PIXELS, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
PNG = sample_files.png_file(PIXELS)


async def ask(client: httpx.AsyncClient, path: str, accept: str, **more: Any) -> httpx.Response:
    headers = {"content-type": "application/octet-stream", "accept": accept}
    return await client.post(f"/v1/{path}", content=more.get("content", FILE), headers=headers)


def parts(response: httpx.Response) -> list[Dataset]:
    """Return the objects of a multipart response."""
    head = b"Content-Type: " + response.headers["content-type"].encode() + b"\r\n\r\n"
    message = message_from_bytes(head + response.content, policy=policy.HTTP)
    found = [part.get_content() for part in message.iter_parts()]
    return [pydicom.dcmread(BytesIO(data)) for data in found]


@pytest.mark.parametrize(
    ("path", "sop_class"),
    [
        ("segment", uid.SegmentationStorage),
        ("detect", uid.Comprehensive3DSRStorage),
        ("classify", uid.Comprehensive3DSRStorage),
        ("ground?phrase=bright", uid.SegmentationStorage),
        ("analyze", uid.SegmentationStorage),
        ("analyze?objects=sc", uid.SecondaryCaptureImageStorage),
    ],
)
async def test_application_dicom_is_the_main_object_of_the_task(
    client: httpx.AsyncClient, path: str, sop_class: str
) -> None:
    response = await ask(client, path, "application/dicom")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/dicom"
    assert "accept" in response.headers["vary"].lower()
    made = pydicom.dcmread(BytesIO(response.content))
    assert (made.SOPClassUID, made.StudyInstanceUID) == (sop_class, STUDY)
    assert made.PatientID == "SECRET-4711"


async def test_masks_are_those_of_the_json(client: httpx.AsyncClient) -> None:
    answer = (await ask(client, "segment", "application/json")).json()
    made = pydicom.dcmread(BytesIO((await ask(client, "segment", "application/dicom")).content))
    expected = [coco_rle.decode(mask["rle"]["counts"], ROWS, COLUMNS) for mask in answer["masks"]]
    assert np.array_equal(made.pixel_array.reshape(-1, ROWS, COLUMNS), np.stack(expected))


async def test_multipart_has_every_object_of_the_tasks(client: httpx.AsyncClient) -> None:
    response = await ask(client, "analyze?phrase=bright", RELATED)
    assert response.status_code == 200, response.text
    modalities = [made.Modality for made in parts(response)]
    assert modalities == ["SEG", "SR", "SR", "SEG", "PR", "OT"]


async def test_the_type_of_the_segmentation_may_be_asked_for(client: httpx.AsyncClient) -> None:
    classes = [
        pydicom.dcmread(BytesIO((await ask(client, path, "application/dicom")).content)).SOPClassUID
        for path in ("segment", "segment?segmentation=labelmap", "segment?segmentation=binary")
    ]
    labelmap = "1.2.840.10008.5.1.4.1.1.66.7"
    assert classes == [uid.SegmentationStorage, labelmap, uid.SegmentationStorage]


async def test_objects_are_selected_by_name(client: httpx.AsyncClient) -> None:
    response = await ask(client, "analyze?objects=sr,seg&objects=sr", RELATED)
    assert [made.Modality for made in parts(response)] == ["SEG", "SR", "SR"]


async def test_a_repeated_request_gives_equal_bytes(client: httpx.AsyncClient) -> None:
    once, again = [await ask(client, "analyze?phrase=bright", RELATED) for _ in range(2)]
    assert [made.SOPInstanceUID for made in parts(once)] == [
        made.SOPInstanceUID for made in parts(again)
    ]
    boundary = [item.headers["content-type"].partition("boundary=")[2] for item in (once, again)]
    assert once.content == again.content.replace(boundary[1].encode(), boundary[0].encode())


async def test_warnings_are_named_in_a_header(client: httpx.AsyncClient) -> None:
    content = sample_files.dicom_file(
        PIXELS, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, ViewPosition="LL"
    )
    response = await ask(client, "segment", "application/dicom", content=content)
    assert "lateral_view" in response.headers["g2d-warnings"].split(", ")


@pytest.mark.parametrize(
    ("path", "content", "status", "slug"),
    [
        ("segment", PNG, 406, "no-dicom-object"),
        ("segment?objects=gsps", FILE, 406, "no-dicom-object"),
        ("segment?objects=seg,pdf", FILE, 422, "invalid-parameters"),
        ("segment?objects=", FILE, 422, "invalid-parameters"),
        ("segment", sample_files.dicom_file(PIXELS), 406, "no-dicom-object"),
    ],
)
async def test_an_object_that_cannot_be_made_is_a_problem(
    client: httpx.AsyncClient, path: str, content: bytes, status: int, slug: str
) -> None:
    response = await ask(client, path, "application/dicom", content=content)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:g2d:problem:{slug}")
