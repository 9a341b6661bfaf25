"""DICOM objects that jobs keep: in a zip file of the job, and of each radiograph."""

import io
import zipfile

import httpx
import pydicom
import pytest

from service.dicom_results import kinds
from tests.builders.files import sample_files
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.results.dicom_results import SERIES, STUDY
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

pytest.importorskip("highdicom")

ZIP = {"content-type": "application/zip"}
RELATED = 'multipart/related; type="application/dicom"'
PIXELS = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
FILE = sample_files.dicom_file(PIXELS, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)


def body() -> bytes:
    """Return a job of a radiograph, and of a picture that has no study."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one.dcm", FILE)
        archive.writestr("two.png", sample_files.png_file(PIXELS))
    return buffer.getvalue()


async def test_a_job_keeps_the_objects_of_radiographs_with_a_study(
    client: httpx.AsyncClient,
) -> None:
    address = await accepted(client, body(), ZIP, "?tasks=segment,classify&objects=seg,sr")
    job = await finished(client, address)
    assert (job["objects"], job["items"]["succeeded"]) == (["seg", "sr"], 2)
    items = (await client.get(f"{address}/items")).json()["items"]
    assert [item["objects"] for item in items] == [True, False]
    whole = await client.get(f"{address}/results", headers={"accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["1/seg.dcm", "1/sr_findings.dcm"]
        seg = archive.read("1/seg.dcm")
    assert pydicom.dcmread(io.BytesIO(seg)).StudyInstanceUID == STUDY
    headers = {"content-type": "application/dicom", "accept": "application/dicom"}
    single = await client.post("/v1/analyze?tasks=segment,classify", content=FILE, headers=headers)
    assert single.content == seg


async def test_the_objects_of_one_radiograph_are_multipart_or_a_zip_file(
    client: httpx.AsyncClient,
) -> None:
    address = await accepted(client, body(), ZIP, "?tasks=segment&objects=seg")
    await finished(client, address)
    related = await client.get(f"{address}/results/1", headers={"accept": RELATED})
    packed = await client.get(f"{address}/results/1", headers={"accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["seg.dcm"]
        assert archive.read("seg.dcm") in related.content
    missing = await client.get(f"{address}/results/2", headers={"accept": RELATED})
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "urn:g2d:problem:result-not-found",
    )


async def test_objects_without_the_extra_are_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "is_installed", lambda: False)
    response = await client.post("/v1/jobs?objects=seg", content=body(), headers=ZIP)
    assert response.status_code == 406
    assert "dicom-results" in response.json()["detail"]
