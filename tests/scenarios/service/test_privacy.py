"""Patient data appears only in answers: never in logs, metrics, traces or problems."""

import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.errors import BackendFailure
from service.observability.logs import JsonFormatter
from service.observability.metrics import Metrics
from service.observability.otel import Otel
from tests.builders.files import sample_files
from tests.builders.jobs import job_bodies, job_clients
from tests.builders.models import tiny_version
from tests.builders.service.admin_calls import ADMIN, TOKEN
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS, Start

PATIENT = "Quisquilia^Xanthippe"
PATIENT_ID = "PID90210ZQ"
UID = "1.2.840.99999.424242.777"
PHRASE = "bright zebrafinch"
SECRETS = ("quisquilia", "xanthippe", "pid90210zq", "424242", "zebrafinch")

DICOM = "application/dicom"
TASKS = ("classify", "segment", "detect", "ground", "analyze")

# Libraries quote invalid values in their warnings.
pytestmark = pytest.mark.filterwarnings("default")


@dataclass
class Outputs:
    """Every output of a service except for its answers."""

    log: io.StringIO = field(default_factory=io.StringIO)
    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    metrics: Metrics = field(default_factory=Metrics)
    problems: list[str] = field(default_factory=list)

    def everything(self) -> str:
        texts = [span.to_json() for span in self.spans.get_finished_spans()]
        texts += [
            self.metrics.render(accept)[0].decode()
            for accept in ("", "application/openmetrics-text")
        ]
        return "\n".join([*texts, *self.problems, self.log.getvalue()]).lower()

    def leaks(self) -> list[str]:
        """Return the lines that contain patient data."""
        return [
            line
            for line in self.everything().splitlines()
            if any(secret in line for secret in SECRETS)
        ]


@pytest.fixture
def outputs() -> Iterator[Outputs]:
    outputs, root = Outputs(), logging.getLogger()
    handler, level = logging.StreamHandler(outputs.log), root.level
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    yield outputs
    logging.captureWarnings(capture=False)
    root.setLevel(level)
    root.removeHandler(handler)


def file(**elements: Any) -> bytes:
    pixels = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    identity = {
        "PatientName": PATIENT,
        "PatientID": PATIENT_ID,
        "PatientComments": PHRASE,
        "StudyInstanceUID": UID,
        "SeriesInstanceUID": UID,
        "SOPInstanceUID": UID,
    }
    return sample_files.dicom_file(pixels, **(identity | elements))


def by_hand(old: bytes, new: bytes, **elements: Any) -> bytes:
    """Return a file with a value of the same length that pydicom would not write."""
    data = file(**elements)
    assert old in data
    return data.replace(old, new.ljust(len(old))[: len(old)])


BODIES = {
    "sound": file(),
    "cut short": file()[:-5000],
    "cut in the header": file()[:700],
    "name as modality": file(Modality=PATIENT_ID),
    "name as view": file(ViewPosition=PATIENT_ID),
    "name as body part": file(BodyPartExamined=PATIENT_ID),
    "name as photometric interpretation": file(PhotometricInterpretation=PATIENT_ID),
    "identifier as class": file(SOPClassUID=UID),
    "name as image type": file(ImageType=[PATIENT_ID, "ZEBRAFINCH"]),
    "name as annotation": file(BurnedInAnnotation=PATIENT_ID),
    "name as spacing": by_hand(b"1.11111", b"Xanthip", PixelSpacing="1.11111\\1.11111"),
    "name as window": by_hand(b"12345678", b"Xanthippe", WindowCenter="12345678", WindowWidth="5"),
    "name as transfer syntax": by_hand(b"1.2.840.10008.1.2.1\0", b"1.2.840.424242.2.2.1\0"),
    "name as file's identifier": by_hand(b"1.2.826.0.1.3680043.8.498.1", b"Xanthippe"),
    "name as identifier": by_hand(UID.encode(), PATIENT.encode()),
    "no pixels": file(PixelData=b""),
    "only text": PATIENT.encode() * 50,
    "png with a comment": b"\x89PNG\r\n\x1a\n" + PATIENT.encode(),
}


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
    async with start(observer=outputs.metrics, tracing=tracing) as (_, client):
        for task in TASKS:
            for body in BODIES.values():
                path = f"/v1/{task}?phrase={PHRASE}" if task in TASKS[3:] else f"/{task}"
                statuses.add(await send(client, outputs, path, content=body))
    assert {200, 400, 415, 422} <= statuses
    assert not {status for status in statuses if status >= 500}
    assert outputs.leaks() == []


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
    async with start(observer=outputs.metrics, tracing=tracing) as (_, client):
        for task in TASKS:
            for request in REQUESTS.values():
                await send(client, outputs, f"/{task}", content=BODIES["sound"], **request)
            for form in FORMS.values():
                await send(client, outputs, f"/{task}", headers={}, **form)
    assert outputs.leaks() == []


async def test_paths_are_not_quoted(start: Start, outputs: Outputs) -> None:
    tracing = Otel(SimpleSpanProcessor(outputs.spans))
    paths = (
        f"/{PATIENT}",
        f"/v1/models/{PATIENT}",
        f"/v1/models/{PATIENT_ID}/versions/{UID}",
        f"/v1/jobs/{PATIENT_ID}",
        f"/health/{PATIENT}",
        f"/metrics?name={PATIENT}",
        f"/openapi.json?name={PATIENT}",
    )
    async with start(observer=outputs.metrics, tracing=tracing) as (_, client):
        for path in paths:
            for method in ("GET", "POST", "PUT", "DELETE"):
                await send(client, outputs, path, method=method, content=b"{}")
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
    async with start(observer=outputs.metrics, tracing=tracing) as (_, client):
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
    begin = {"observer": outputs.metrics, "tracing": tracing, "admin_token": TOKEN}
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
    async with start(observer=outputs.metrics, tracing=tracing) as (_, client):
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
