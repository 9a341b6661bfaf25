"""Every event becomes a metric, and neither clients nor versions can make metrics grow."""

import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from service.observability.metrics import service_metrics
from service.observability.metrics.service_metrics import Metrics
from service.observability.observer import Observer
from tests.builders.deploy import promql
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}
OPENMETRICS = "application/openmetrics-text;version=1.0.0"

Labels = dict[str, str]


def samples(text: str, name: str) -> list[tuple[Labels, float]]:
    """Return the labels and value of every sample with this name."""
    return [
        (sample.labels, sample.value)
        for family in parse(text)
        for sample in family.samples
        if sample.name == name
    ]


def rendered(observer: Metrics, accept: str = "") -> str:
    return observer.render(accept)[0].decode()


async def scraped(client: httpx.AsyncClient) -> str:
    return (await client.get("/metrics")).text


async def test_a_request_is_counted_by_its_route(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    await client.post("/v1/segment", content=rectangle_dicom, headers=DICOM)
    text = await scraped(client)
    assert samples(text, "g2d_request_seconds_count") == [
        ({"route": "/v1/segment", "status": "200"}, 1.0)
    ]
    assert samples(text, "g2d_answers_total") == [
        ({"model": "tiny", "version": "1", "status": "200"}, 1.0)
    ]
    stages = {labels["stage"] for labels, _ in samples(text, "g2d_stage_seconds_count")}
    assert {"receive", "read", "preprocess", "trunk", "heads", "results", "encode"} <= stages
    assert "total" not in stages


async def test_a_problem_is_counted_by_its_type(client: httpx.AsyncClient) -> None:
    await client.post("/segment", content=b"nothing of ours", headers=DICOM)
    await client.get("/v1/models/other")
    counted = {
        labels["type"]: value
        for labels, value in samples(await scraped(client), "g2d_problems_total")
    }
    assert counted == {"malformed-input": 1, "model-not-found": 1}


async def test_unknown_addresses_share_one_series(
    client: httpx.AsyncClient,
) -> None:
    for number in range(20):
        await client.get(f"/patients/{number}?name=Doe")
    assert samples(await scraped(client), "g2d_request_seconds_count") == [
        ({"route": "unmatched", "status": "404"}, 20.0)
    ]


async def test_probes_and_scrapes_are_not_counted(client: httpx.AsyncClient) -> None:
    await client.get("/health/live")
    await scraped(client)
    assert samples(await scraped(client), "g2d_request_seconds_count") == []


async def test_a_request_is_in_flight_until_it_is_answered(
    start: Start, rectangle_dicom: bytes
) -> None:
    observer, seen = Metrics(), []

    async def body() -> AsyncIterator[bytes]:
        yield rectangle_dicom[:100]
        seen.append(samples(rendered(observer), "g2d_requests_in_flight"))
        yield rectangle_dicom[100:]

    async with start(observer=observer) as (_, client):
        answer = await client.post("/segment", content=body(), headers=DICOM)
    assert answer.status_code == 200
    assert seen == [[({}, 1.0)]]
    assert samples(rendered(observer), "g2d_requests_in_flight") == [({}, 0.0)]


async def test_openmetrics_is_returned_if_it_is_accepted(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics", headers={"accept": OPENMETRICS})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    read = openmetrics.text_string_to_metric_families
    names = {family.name for family in read(response.text)}  # type: ignore[no-untyped-call]
    assert {"g2d_request_seconds", "g2d_shed", "process_resident_memory_bytes"} <= names


@pytest.mark.parametrize(
    "accept", ["", ";;;", "application/openmetrics-text;version=x", "a" * 5000, "text/plain;v=1,,"]
)
async def test_any_accept_gets_metrics(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert "g2d_requests_in_flight" in response.text


async def test_metrics_can_be_switched_off(start: Start) -> None:
    async with start(metrics=False) as (_, client):
        response = await client.get("/metrics")
        check(response, 404, "not-found")


def test_every_event_becomes_a_metric() -> None:
    text = rendered(promql.filled())
    version = {"model": "tiny", "version": "1"}
    assert samples(text, "g2d_batch_size_sum") == [(version, 4.0)]
    assert samples(text, "g2d_queue_waiting") == [({"key": "segment"}, 3.0)]
    assert samples(text, "g2d_dropped_total") == [({"reason": "deadline"}, 1.0)]
    assert samples(text, "g2d_shed_total") == [({"reason": "queue"}, 1.0)]
    assert samples(text, "g2d_api_key_changes_total") == [({"change": "revoked"}, 1.0)]
    assert samples(text, "g2d_decoder_replacements_total") == [({"reason": "crash"}, 1.0)]
    assert samples(text, "g2d_version_state") == [({**version, "state": "ready"}, 1.0)]
    altered = ({**version, "reason": "altered"}, 1.0)
    assert samples(text, "g2d_versions_refused_total") == [altered]
    refused = ({**version, "variant": "int8"}, 1.0)
    assert samples(text, "g2d_variants_refused_total") == [refused]
    assert samples(text, "g2d_alias_version") == [({"model": "tiny", "alias": "stable"}, 1.0)]
    for name in ("g2d_input_mean", "g2d_input_std", "g2d_out_of_domain_score"):
        assert samples(text, f"{name}_count") == [(version, 1.0)]
    assert samples(text, "g2d_score_sum") == [({**version, "label": "Lung opacity"}, 0.7)]
    assert samples(text, "g2d_jobs_total") == [({"change": "accepted"}, 1.0)]
    assert samples(text, "g2d_job_radiographs_total") == [({"change": "accepted"}, 3.0)]
    assert samples(text, "g2d_job_item_seconds_sum") == [({"outcome": "succeeded"}, 0.1)]
    assert samples(text, "g2d_shadow_difference_count")[0][0]["output"] == "findings.logits"


def test_a_version_has_one_state() -> None:
    observer = Metrics()
    for state in ("loading", "ready", "retired"):
        observer.version("tiny", 1, state)
    assert [labels["state"] for labels, _ in samples(rendered(observer), "g2d_version_state")] == [
        "retired"
    ]


def test_versions_that_come_and_go_leave_nothing_behind() -> None:
    observer = Metrics()
    sizes = []
    for version in range(1, 101):
        observer.version("tiny", version, "ready")
        observer.batch(f"tiny/{version}", 1, 0.1)
        observer.scores(f"tiny/{version}", {"Lung opacity": 0.5})
        observer.answered("/v1/classify", 200, 0.1, f"tiny/{version}")
        observer.version("tiny", version, "freed")
        sizes.append(rendered(observer).count("\n"))
    assert len(set(sizes)) == 1
    assert not samples(rendered(observer), "g2d_score_count")


def test_versions_that_are_never_freed_are_bounded() -> None:
    observer = Metrics()
    for version in range(3 * service_metrics.MAX_VERSIONS):
        observer.version("tiny", version, "failed")
    assert len(samples(rendered(observer), "g2d_version_state")) == service_metrics.MAX_VERSIONS


def test_the_values_of_a_label_are_bounded() -> None:
    observer = Metrics()
    for number in range(1000):
        observer.shed(f"reason {number}")
        observer.answered(f"/route/{number}", 200, 0.1, None)
    for name in ("g2d_shed_total", "g2d_request_seconds_count"):
        assert len(samples(rendered(observer), name)) == service_metrics.MAX_VALUES + 1
    assert ({"reason": "other"}, 936.0) in samples(rendered(observer), "g2d_shed_total")


def test_threads_lose_no_count() -> None:
    observer = Metrics()

    def report() -> None:
        for number in range(200):
            observer.shed(str(number % 3))
            observer.scores(f"tiny/{number % 3}", {"Lung opacity": 0.5})

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = rendered(observer)
    assert sum(value for _, value in samples(text, "g2d_shed_total")) == 800
    assert sum(value for _, value in samples(text, "g2d_score_count")) == 800


def test_metrics_count_every_event_of_the_interface() -> None:
    def methods(observer: type[object]) -> set[str]:
        return {name for name in vars(observer) if not name.startswith("_")}

    assert methods(Observer) <= methods(Metrics)
