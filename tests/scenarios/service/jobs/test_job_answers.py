"""Jobs over HTTP, from the body to the results."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from service.api.schemas import inference, jobs
from tests.builders.files import sample_files
from tests.builders.jobs.job_bodies import ZIP, form, pacs_export, radiograph, related, zip_file
from tests.builders.jobs.job_clients import accepted, finished, results
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

THREE = [radiograph(number) for number in range(3)]


async def test_every_radiograph_of_a_zip_file_gets_the_answer_of_a_single_request(
    client: httpx.AsyncClient,
) -> None:
    body = zip_file({f"IM{number}": data for number, data in enumerate(THREE)})
    address = await accepted(client, body, ZIP, "?tasks=classify,segment")
    items = await results(client, address)
    assert [item["number"] for item in items] == [1, 2, 3]
    for item, data in zip(items, THREE, strict=True):
        alone = await client.post("/analyze?tasks=classify,segment", content=data)
        expected, answer = alone.json(), item["result"]
        for other in ("request_id", "timings_ms"):
            del expected[other], answer[other]
        assert answer == expected


async def test_a_study_exported_from_a_pacs_is_read_in_any_folders(
    client: httpx.AsyncClient,
) -> None:
    address = await accepted(client, pacs_export(THREE), ZIP, "?tasks=segment")
    job = await finished(client, address)
    assert job["skipped"] == {"folder": 1, "dicomdir": 1, "no_image": 2, "macos": 1}
    assert (job["items"]["total"], job["items"]["succeeded"]) == (3, 3)
    labels = [item["label"] for item in await results(client, address)]
    assert labels == ["IM000000", "IM000001", "IM000002"]


async def test_a_form_may_have_several_files_and_a_zip_file(
    client: httpx.AsyncClient,
) -> None:
    inner = zip_file({"readme.txt": b"-", "IM2.dcm": THREE[2]})
    files = [("IM0.dcm", THREE[0]), ("IM1.dcm", THREE[1]), ("all.zip", inner)]
    body, headers = form(files, ["bright"])
    address = await accepted(client, body, headers, "?tasks=ground")
    items = await results(client, address)
    assert [(item["label"], item["position"]) for item in items] == [
        ("IM0.dcm", 1),
        ("IM1.dcm", 2),
        ("IM2.dcm", 4),
    ]
    assert {item["result"]["phrases"][0]["phrase"] for item in items} == {"bright"}


@pytest.mark.parametrize(
    ("names", "keep", "labels", "identified_by"),
    [
        (["IM1", "IM2"], False, ["IM1", "IM2"], "label"),
        (["IM1", "a/IM1"], False, ["IM1", "IM1"], "position"),
        (["IM1", "4711.dcm"], False, ["IM1", None], "position"),
        (["4711", "4712"], True, ["4711", "4712"], "label"),
    ],
)
async def test_a_job_says_how_its_items_are_told_apart(
    start: Start, names: list[str], labels: list[str | None], identified_by: str, *, keep: bool
) -> None:
    async with start(jobs_numeric_labels=keep) as (_, client):
        body = zip_file(zip(names, THREE[:2], strict=True))
        address = await accepted(client, body, ZIP, "?tasks=classify")
        assert [item["label"] for item in await results(client, address)] == labels
        assert (await client.get(address)).json()["identified_by"] == identified_by


async def test_a_study_in_the_form_of_stow_rs_is_read(client: httpx.AsyncClient) -> None:
    body, headers = related(THREE)
    items = await results(client, await accepted(client, body, headers))
    uids = [item["result"]["image"]["sop_instance_uid"] for item in items]
    assert len(set(uids)) == 3


async def test_a_file_that_is_no_radiograph_fails_without_the_others(
    client: httpx.AsyncClient,
) -> None:
    box = sample_files.bright_rectangle(40, 40, (0, 0, 20, 20))
    bodies = {
        "1": THREE[0],
        "2": sample_files.dicom_file(box, Modality="CT"),
        "3": b"nothing of the kind",
        "4": b"",
        "5": THREE[1],
    }
    address = await accepted(client, zip_file(bodies), ZIP, "?tasks=segment")
    items = await results(client, address)
    assert [item["state"] for item in items] == [
        "succeeded",
        "failed",
        "failed",
        "failed",
        "succeeded",
    ]
    problems = [item["problem"] for item in items if item["problem"]]
    assert [(problem["status"], problem["type"]) for problem in problems] == [
        (422, "urn:g2d:problem:wrong-modality"),
        (415, "urn:g2d:problem:unsupported-encoding"),
        (400, "urn:g2d:problem:malformed-input"),
    ]
    assert [item["attempts"] for item in items] == [1] * 5
    assert (await client.get(f"{address}/results/2")).status_code == 404


async def test_responses_match_the_schemas(client: httpx.AsyncClient) -> None:
    body = zip_file({"1": THREE[0], "2": b"nothing"})
    address = await accepted(client, body, ZIP, "?tasks=classify")
    await finished(client, address)
    jobs.JobStatus.model_validate((await client.get(address)).json())
    jobs.ItemList.model_validate((await client.get(f"{address}/items")).json())
    found = jobs.JobResults.model_validate((await client.get(f"{address}/results")).json())
    lines = await client.get(f"{address}/results", headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    again = [jobs.ItemAnswer.model_validate_json(line) for line in lines.text.splitlines()]
    assert again == found.items
    one = await client.get(f"{address}/results/1")
    assert inference.AnalyzeAnswer.model_validate(one.json()) == found.items[0].result


async def test_an_overlay_is_kept_if_it_was_asked_for(client: httpx.AsyncClient) -> None:
    body = zip_file({"1": THREE[0]})
    address = await accepted(client, body, ZIP, "?overlay=true")
    await finished(client, address)
    picture = await client.get(f"{address}/results/1", headers={"accept": "image/png"})
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["cache-control"] == "no-store"
    plain = await accepted(client, body, ZIP)
    await finished(client, plain)
    missing = await client.get(f"{plain}/results/1", headers={"accept": "image/png"})
    check(missing, 404, "result-not-found")


@pytest.mark.parametrize(("media_type", "form"), [("image/jpeg", "JPEG"), ("image/webp", "WEBP")])
async def test_a_kept_overlay_is_fetched_in_any_format(
    client: httpx.AsyncClient, media_type: str, form: str
) -> None:
    query = "?overlay=true&overlay_side_px=80"
    large = sample_files.dicom_file(sample_files.bright_rectangle(160, 128, (0, 0, 64, 64)))
    address = await accepted(client, zip_file({"1": large}), ZIP, query)
    await finished(client, address)
    picture = await client.get(f"{address}/results/1", headers={"accept": media_type})
    assert picture.headers["content-type"] == media_type
    with Image.open(io.BytesIO(picture.content)) as image:
        assert (image.format, image.size) == (form, (64, 80))


async def test_a_job_with_larger_overlays_than_allowed_is_refused(
    client: httpx.AsyncClient,
) -> None:
    query = "?overlay=true&overlay_side_px=2049"
    body = zip_file({"1": THREE[0]})
    response = await client.post(f"/v1/jobs{query}", content=body, headers=ZIP)
    check(response, 422, "invalid-parameters")


async def test_the_body_is_removed_when_the_job_is_finished(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    address = await accepted(client, zip_file({"1": THREE[0]}), ZIP)
    await finished(client, address)
    await client.get("/v1/jobs", headers={"idempotency-key": "x"})
    left = [path for path in (tmp_path / "jobs").rglob("*") if path.suffix == ".body"]
    assert left == []


async def test_a_deleted_job_leaves_nothing(client: httpx.AsyncClient, tmp_path: Path) -> None:
    address = await accepted(client, zip_file({"1": THREE[0]}), ZIP)
    assert (await client.delete(address)).status_code == 204
    for method, path in (("GET", ""), ("GET", "/items"), ("GET", "/results"), ("DELETE", "")):
        gone = await client.request(method, address + path)
        check(gone, 404, "job-not-found")
    assert list((tmp_path / "jobs").glob("*.body")) == []


async def test_no_patient_data_of_file_names_is_stored_or_shown(
    client: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = zip_file({"Doe^Jane/Doe_Jane.dcm": THREE[0], "SECRET-4711.dcm": b"Doe^Jane"})
    with caplog.at_level("DEBUG"):
        address = await accepted(client, body, ZIP)
        await finished(client, address)
        shown = [(await client.get(address + path)).text for path in ("", "/items", "/results")]
    logged = str([vars(record) for record in caplog.records if record.name.startswith("g2d")])
    kept = b"".join(path.read_bytes() for path in (tmp_path / "jobs").glob("jobs.sqlite*"))
    for word in ("Doe", "Jane", "4711"):
        assert word not in "".join(shown)
        assert word not in logged
        assert word.encode() not in kept
    assert address.rpartition("/")[2] not in logged


async def test_jobs_can_be_switched_off(start: Start) -> None:
    async with start(jobs_dir="") as (_, client):
        response = await client.post("/v1/jobs", content=b"")
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    assert json.loads(response.text)["type"] == "urn:g2d:problem:not-found"
    assert not [path for path in document["paths"] if "jobs" in path]


async def test_an_unwritable_folder_disables_only_jobs(
    start: Start, tmp_path: Path, rectangle_dicom: bytes
) -> None:
    (tmp_path / "file").touch()
    async with start(jobs_dir=tmp_path / "file" / "jobs") as (_, client):
        job = await client.post("/v1/jobs", content=zip_file({"1": THREE[0]}), headers=ZIP)
        single = await client.post("/segment", content=rectangle_dicom)
    check(job, 503, "jobs-unavailable")
    assert single.status_code == 200


async def test_an_unreachable_database_disables_only_jobs(
    start: Start, tmp_path: Path, rectangle_dicom: bytes
) -> None:
    pytest.importorskip("psycopg")
    url = SecretStr("postgresql+psycopg://g2d:word@127.0.0.1:1/none")
    async with start(jobs_url=url) as (_, client):
        job = await client.post("/v1/jobs", content=zip_file({"1": THREE[0]}), headers=ZIP)
        single = await client.post("/segment", content=rectangle_dicom)
    check(job, 503, "jobs-unavailable")
    assert "word" not in job.text
    assert single.status_code == 200
