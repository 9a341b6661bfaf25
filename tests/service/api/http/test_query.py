"""Query strings: lists where several values are meant, and otherwise one value or none."""

import httpx
import pytest

from tests.builders.jobs.job_bodies import ZIP, radiograph, zip_file
from tests.builders.service.http.problem_check import check

DICOM = {"content-type": "application/dicom"}
ONE = zip_file({"1": radiograph()})


@pytest.mark.parametrize(
    "query",
    [
        "tasks=classify,segment",
        "tasks=classify&tasks=segment",
        "tasks=segment,classify&tasks=segment",
    ],
)
async def test_repeated_tasks_are_all_answered(
    client: httpx.AsyncClient, rectangle_dicom: bytes, query: str
) -> None:
    answer = await client.post(f"/analyze?{query}", content=rectangle_dicom, headers=DICOM)
    assert {"findings", "masks"} <= set(answer.json())
    job = await client.post(f"/v1/jobs?{query}", content=ONE, headers=ZIP)
    assert set(job.json()["tasks"]) == {"classify", "segment"}


async def test_repeated_tasks_are_the_same_request_as_a_list(client: httpx.AsyncClient) -> None:
    addresses = set()
    for query in ("tasks=classify,segment", "tasks=classify&tasks=segment"):
        headers = ZIP | {"idempotency-key": "lists"}
        response = await client.post(f"/v1/jobs?{query}", content=ONE, headers=headers)
        addresses.add(response.headers["location"])
    assert len(addresses) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/classify?model=tiny&model=other", "model"),
        ("/segment?version=1&version=1", "version"),
        ("/segment?rle=compressed&rle=uncompressed", "rle"),
        ("/ground?phrase=left&method=aligned&method=zero_shot", "method"),
        ("/ground?phrase=left&heatmap=png&heatmap=none", "heatmap"),
        ("/analyze?overlay_side_px=64&overlay_side_px=128", "overlay_side_px"),
        ("/v1/jobs?overlay=true&overlay=false", "overlay"),
    ],
)
async def test_several_values_of_one_parameter_are_422(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str, name: str
) -> None:
    response = await client.post(path, content=rectangle_dicom, headers=DICOM)
    fault = check(response, 422, "invalid-parameters")["errors"][0]
    assert fault == {"where": f"query.{name}", "message": "Input should be given once"}


async def test_several_values_in_a_list_of_jobs_are_422(client: httpx.AsyncClient) -> None:
    check(await client.get("/v1/jobs?limit=1&limit=2"), 422, "invalid-parameters")


async def test_a_job_that_is_not_there_is_404_whatever_else_is_wrong(
    client: httpx.AsyncClient,
) -> None:
    check(await client.get(f"/v1/jobs/{'0' * 32}/items?after=0&after=9"), 404, "job-not-found")


@pytest.mark.parametrize("phrase", ["left%ff", "%c3%28lung", "%ed%a0%80"])
async def test_a_query_that_is_not_utf_8_is_422(
    client: httpx.AsyncClient, rectangle_dicom: bytes, phrase: str
) -> None:
    for path in ("/ground", "/v1/jobs"):
        response = await client.post(
            f"{path}?phrase={phrase}", content=rectangle_dicom, headers=DICOM
        )
        assert "UTF-8" in check(response, 422, "invalid-parameters")["detail"]
