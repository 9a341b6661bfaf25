"""Patient data appears only in answers: never in logs, metrics, traces, problems or audit log."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from service.errors import BackendFailure
from service.observability.logs import JsonFormatter
from service.observability.tracing.otel import Otel
from tests.builders.jobs import job_bodies, job_clients
from tests.builders.models.versions import tiny_version
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.builders.service.results.planted_names import (
    BODIES,
    PATIENT,
    PATIENT_ID,
    PHRASE,
    SECRETS,
    Outputs,
    watched,
)
from tests.fixtures.service import Start

DICOM = "application/dicom"
TASKS = ("classify", "segment", "detect", "ground", "analyze")

# Libraries quote invalid values in their warnings.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def outputs(tmp_path: Path) -> Iterator[Outputs]:
    outputs, root = Outputs(audit=tmp_path / "audit.sqlite"), logging.getLogger()
    handler, level = logging.StreamHandler(outputs.log), root.level
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    yield outputs
    logging.captureWarnings(capture=False)
    root.setLevel(level)
    root.removeHandler(handler)


async def send(client: httpx.AsyncClient, outputs: Outputs, path: str, **request: Any) -> int:
    """Send a request and keep its response, except for the body of an answer."""
    given = {"method": "POST", "headers": {"content-type": DICOM}} | request
    response = await client.request(url=path, **given)
    headers = json.dumps(dict(response.headers))
    outputs.problems.append(headers if response.status_code == 200 else headers + response.text)
    return response.status_code


async def test_files_are_not_quoted(start: Start, outputs: Outputs) -> None:
    statuses = set()
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    async with start(**watched(outputs, tracing)) as (_, client):
        for task in TASKS:
            for body in BODIES.values():
                path = f"/v1/{task}?phrase={PHRASE}" if task in TASKS[3:] else f"/{task}"
                statuses.add(await send(client, outputs, path, content=body))
    assert {200, 400, 415, 422} <= statuses
    assert not {status for status in statuses if status >= 500}
    assert outputs.leaks() == []
    assert outputs.audited("infer") == len(TASKS) * len(BODIES)


REQUESTS: dict[str, dict[str, Any]] = {
    "phrase in the query": {"params": {"phrase": PHRASE}},
    "phrase with a control character": {"params": {"phrase": f"{PHRASE}\x07"}},
    "long phrase": {"params": {"phrase": PHRASE * 100}},
    "many phrases": {"params": {"phrase": [PHRASE] * 50}},
    "phrase nowhere known": {"params": {"phrase": "zebrafinch"}},
    "model": {"params": {"model": PATIENT}},
    "version": {"params": {"version": PATIENT_ID}},
    "method": {"params": {"phrase": PHRASE, "method": PATIENT}},
    "heat map": {"params": {"phrase": PHRASE, "heatmap": PATIENT}},
    "tasks": {"params": {"tasks": PATIENT}},
    "accept": {"headers": {"content-type": DICOM, "accept": PATIENT}},
    "content type": {"headers": {"content-type": f"image/{PATIENT_ID}"}},
    "encoding": {"headers": {"content-type": DICOM, "content-encoding": PATIENT_ID}},
    "deadline": {"headers": {"content-type": DICOM, "x-request-timeout": PATIENT_ID}},
    "trace": {
        "headers": {"content-type": DICOM, "traceparent": PATIENT_ID, "tracestate": "x=zebrafinch"}
    },
    "request id": {"headers": {"content-type": DICOM, "x-request-id": PATIENT}},
    "verb": {"method": "XANTHIPPE"},
}
FORMS: dict[str, dict[str, Any]] = {
    "file name": {"files": {"file": (f"{PATIENT}.dcm", BODIES["sound"], DICOM)}},
    "name of a part": {"files": {PATIENT: ("x.dcm", BODIES["sound"], DICOM)}},
    "phrase in the form": {
        "files": {"file": ("x.dcm", BODIES["sound"])},
        "data": {"phrase": PHRASE},
    },
    "phrase for a task without": {
        "files": {"file": ("x.dcm", BODIES["cut short"])},
        "data": {"phrase": PHRASE * 500},
    },
}


async def test_headers_queries_and_forms_are_not_quoted(start: Start, outputs: Outputs) -> None:
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    async with start(**watched(outputs, tracing)) as (_, client):
        for task in TASKS:
            for request in REQUESTS.values():
                await send(client, outputs, f"/{task}", content=BODIES["sound"], **request)
            for form in FORMS.values():
                await send(client, outputs, f"/{task}", headers={}, **form)
    assert outputs.leaks() == []


PATHS = (
    f"/{PATIENT}",
    f"/v1/models/{PATIENT}",
    f"/health/{PATIENT}",
    f"/metrics?name={PATIENT}",
    f"/openapi.json?name={PATIENT}",
)


async def test_no_endpoint_quotes_its_path_or_body(start: Start, outputs: Outputs) -> None:
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    begin = watched(outputs, tracing) | {"admin_token": TOKEN}
    async with start(**begin) as (app, client):
        documented = [re.sub(r"{\w+}", PATIENT_ID, path) for path in app.openapi()["paths"]]
        assert len(documented) > 15
        for path in (*documented, *PATHS):
            for method in ("GET", "POST", "PUT", "DELETE"):
                for kind in (DICOM, "application/json"):
                    body = BODIES["sound" if kind == DICOM else "only text"]
                    headers = ADMIN | {"content-type": kind, "if-match": PATIENT_ID}
                    await send(client, outputs, path, method=method, content=body, headers=headers)
    assert outputs.leaks() == []


ARCHIVE = job_bodies.zip_file(
    {f"{PATIENT}/{PATIENT_ID} {name}.dcm": body for name, body in BODIES.items()}
)
KEYED = {**job_bodies.ZIP, "idempotency-key": PATIENT_ID}
REFUSED_JOBS: dict[str, dict[str, Any]] = {
    "archive within": {
        "content": job_bodies.zip_file({f"{PATIENT}.zip": ARCHIVE}),
        "headers": job_bodies.ZIP,
    },
    "cut short": {"content": ARCHIVE[:-50], "headers": job_bodies.ZIP},
    "damaged": {"content": ARCHIVE.replace(b"PK\1\2", b"PK\1\3"), "headers": job_bodies.ZIP},
    "key": {"content": ARCHIVE, "headers": job_bodies.ZIP | {"idempotency-key": f"\t{PATIENT}\t"}},
    "key of another job": {"content": ARCHIVE, "headers": KEYED, "params": {"tasks": "classify"}},
    "type of a study": {
        "content": b"",
        "headers": {"content-type": f"multipart/related; type={PATIENT_ID}; boundary={PATIENT_ID}"},
    },
    "tasks": {"content": ARCHIVE, "headers": job_bodies.ZIP, "params": {"tasks": PATIENT}},
}


async def test_jobs_are_not_quoted(start: Start, outputs: Outputs) -> None:
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    form, form_headers = job_bodies.form([(f"{PATIENT}.dcm", BODIES["sound"])], [PHRASE])
    asked = f"?tasks=segment,ground&phrase={PHRASE}"
    async with start(**watched(outputs, tracing)) as (_, client):
        addresses = [
            await job_clients.accepted(client, ARCHIVE, KEYED, asked),
            await job_clients.accepted(client, form, form_headers, "?tasks=ground"),
        ]
        jobs = [await job_clients.finished(client, address) for address in addresses]
        assert jobs[0]["items"]["failed"] > 0
        assert jobs[0]["items"]["succeeded"] > 0
        refused = [await send(client, outputs, "/v1/jobs", **job) for job in REFUSED_JOBS.values()]
        assert all(400 <= status < 500 for status in refused)
        for address in addresses:
            outputs.problems.append((await client.get(f"{address}/items")).text)
            await send(client, outputs, f"{address}/items?state={PATIENT}", method="GET")
            await send(client, outputs, f"{address}/results/{PATIENT_ID}", method="GET")
            await send(client, outputs, address, method="DELETE")
    outputs.problems.append(json.dumps(jobs))
    assert "job finished" in outputs.log.getvalue()
    assert outputs.audited("infer-job-item") == jobs[0]["items"]["total"] + 1
    assert outputs.leaks() == []
    # The identifier of a job is a secret: it grants access to the job.
    assert not [job for job in jobs if job["id"] in outputs.log.getvalue()]


CHANGES: dict[str, dict[str, Any]] = {
    "alias": {"path": f"aliases/{PATIENT_ID}", "content": b'{"version": 1}'},
    "version": {"path": "aliases/stable", "json": {"version": PATIENT}},
    "member": {"path": "aliases/stable", "json": {"version": 1, PATIENT: PATIENT_ID}},
    "text": {"path": "aliases/stable", "content": PATIENT.encode()},
    "precondition": {"path": "aliases/stable", "json": {"version": 1}, "if-match": PATIENT_ID},
    "share": {"path": "canary", "json": {"share": PATIENT}},
}


async def test_administrative_changes_are_not_quoted(
    start: Start, outputs: Outputs, tiny_models: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(tiny_models, tmp_path / "models")
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    begin = watched(outputs, tracing) | {"admin_token": TOKEN}
    statuses = set()
    async with start(models_dir=own, **begin) as (_, client):
        for change in CHANGES.values():
            path, match = change["path"], change.get("if-match", '"1"')
            body = {key: change[key] for key in change if key in ("content", "json")}
            for caller in (ADMIN, {"authorization": f"Bearer {PATIENT_ID}"}):
                headers = {"content-type": "application/json", "if-match": match} | caller
                for model in (tiny_version.NAME, PATIENT_ID):
                    address, given = f"/v1/models/{model}/{path}", {"headers": headers}
                    statuses.add(
                        await send(client, outputs, address, method="PUT", **given, **body)
                    )
                    statuses.add(await send(client, outputs, f"{address}/rollback", **given))
    assert {401, 404, 412, 422} <= statuses
    assert not {status for status in statuses if status >= 500}
    assert outputs.leaks() == []
    assert TOKEN not in outputs.everything()


@pytest.mark.parametrize("error", [ValueError, BackendFailure, KeyError])
async def test_internal_errors_are_not_quoted(
    start: Start, outputs: Outputs, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error(PATIENT if error is not BackendFailure else "the model failed") from KeyError(
            PATIENT_ID
        )

    monkeypatch.setattr("service.encoders.json_encoder.encode", fail)
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    async with start(**watched(outputs, tracing)) as (_, client):
        assert await send(client, outputs, "/segment", content=BODIES["sound"]) == 500
    assert "error" in outputs.log.getvalue()
    assert outputs.leaks() == []


def test_log_messages_of_libraries_are_withheld(outputs: Outputs) -> None:
    logging.getLogger("pydicom").warning("Invalid value for VR UI: '%s'", PATIENT)
    logging.getLogger("asyncio").error("Task exception was never retrieved: %r", PATIENT)
    try:
        raise ValueError(PATIENT)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    lines = [json.loads(line) for line in outputs.log.getvalue().splitlines()]
    assert [line["logger"] for line in lines] == ["pydicom", "asyncio", "uvicorn.error"]
    assert all(line["where"] for line in lines)
    assert lines[2]["exception"] == "ValueError"
    assert outputs.leaks() == []


def lines_of(process: subprocess.Popen[str], port: int) -> list[str]:
    """Send requests to a service and return every line that it writes from start to stop."""
    assert process.stdout is not None
    lines: list[str] = []
    awaited = {"is ready after", "Uvicorn running"}
    while awaited:
        lines.append(process.stdout.readline())
        assert lines[-1], "the service ended"
        awaited = {text for text in awaited if text not in lines[-1]}
    # The service would block on a full pipe.
    reading = threading.Thread(target=lines.extend, args=(process.stdout,))
    reading.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        for body in BODIES.values():
            client.post(f"/ground?phrase={PHRASE}", content=body)
        job = client.post(f"/v1/jobs?tasks=ground&phrase={PHRASE}", content=ARCHIVE, headers=KEYED)
        while client.get(job.headers["location"]).json()["state"] != "finished":
            pass
        client.get("/metrics")
    process.terminate()
    reading.join()
    return lines


def test_the_output_of_a_running_service_has_no_patient_data(
    tiny_models: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "G2D_MODELS_DIR": str(tiny_models),
        "G2D_DEFAULT_MODEL": "tiny",
        "G2D_LOG_LEVEL": "debug",
        "G2D_JOBS_DIR": str(tmp_path / "jobs"),
        "G2D_JOBS_MIN_FREE_BYTES": "0",
        "G2D_THREADS": "1",
        "G2D_AUDIT_FILE": str(tmp_path / "audit.sqlite"),
    }
    command = [sys.executable, "-m", "g2d", "serve", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            kept = lines_of(process, port)
        finally:
            process.kill()
    assert sum('"/ground"' in line for line in kept) == len(BODIES)
    assert all(json.loads(line) for line in kept)
    assert not [line for line in kept if any(secret in line.lower() for secret in SECRETS)]
