"""STOW-RS into the gateway, health and metrics."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient

from service.gateway.configuration import Configuration
from service.gateway.gateway import Gateway
from service.gateway.receiving.web import Store, build_app
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive
from tests.builders.gateway.radiographs import ROOT, parsed, radiograph
from tests.builders.service.http.asgi import Exchange

RELATED = 'multipart/related; type="application/dicom"; boundary=xyz'


def body(*files: bytes) -> bytes:
    pieces = [
        b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files
    ]
    return b"".join((*pieces, b"--xyz--\r\n"))


def client_of(configured: Configuration, gateway: Gateway) -> httpx.AsyncClient:
    store = Store(configured, gateway.intake)
    app = build_app(store, gateway.metrics, gateway.refresh_metrics, gateway.is_ready)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", timeout=30
    )


async def test_instances_are_answered_one_by_one(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    files = (radiograph(1), radiograph(2, Modality="MG"), b"not DICOM")
    async with client_of(configured, gateway) as client:
        answer = await client.post(
            "/studies", content=body(*files), headers={"content-type": RELATED}
        )
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+json"
    content = answer.json()
    (stored,), (failed,) = (content[tag]["Value"] for tag in ("00081199", "00081198"))
    assert stored["00081155"]["Value"] == [f"{ROOT}.1.1"]
    assert failed["00081155"]["Value"] == [f"{ROOT}.1.2"]
    assert failed["00081197"]["Value"] == [0xC101]
    assert content["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    pacs.wait_for(2)


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (body(radiograph()), "application/dicom", 400),
        (body(radiograph()), 'multipart/related; type="application/dicom"', 400),
        (body(radiograph()), RELATED.replace("xyz", "abc"), 400),
        (body(radiograph())[:-20], RELATED, 400),
        (body(), RELATED, 400),
        (b"", RELATED, 400),
        (body(b"GIF89a"), RELATED, 409),
        (bytes(5 * 2**20), RELATED, 413),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(
    configured: Configuration, gateway: Gateway, content: bytes, media_type: str, status: int
) -> None:
    small = configured.listen.model_copy(update={"max_bytes": 2**20})
    limited = configured.model_copy(update={"listen": small})
    async with client_of(limited, gateway) as client:
        answer = await client.post(
            "/studies", content=content, headers={"content-type": media_type}
        )
    assert answer.status_code == status
    assert gateway.journal.counts().instances == {}


async def test_endlessly_many_parts_are_refused_as_a_whole(
    configured: Configuration, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.gateway.receiving.web._MOST_PARTS", 3)
    async with client_of(configured, gateway) as client:
        answers = [
            await client.post(
                "/studies", content=body(*[b"x"] * count), headers={"content-type": RELATED}
            )
            for count in (3, 4)
        ]
    assert [answer.status_code for answer in answers] == [409, 413]


@pytest.mark.parametrize("path", ["/studies/", "/health/live/", "/metrics/"])
async def test_a_trailing_slash_leads_nowhere(
    configured: Configuration, gateway: Gateway, path: str
) -> None:
    async with client_of(configured, gateway) as client:
        answer = await client.post(path, content=body(), headers={"content-type": RELATED})
    assert (answer.status_code, answer.headers.get("location")) == (404, None)


async def test_a_slow_body_gives_its_place_back(
    configured: Configuration, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.gateway.receiving.web._GRACE_S", 0.05)
    store = Store(configured, gateway.intake)
    app = build_app(store, gateway.metrics, gateway.refresh_metrics, gateway.is_ready)
    headers = {"content-type": RELATED, "content-length": "1000000"}
    slow = [Exchange(app, "/studies", [b"x"], headers, ends=False) for _ in range(2)]
    assert [(await exchange.run()).status for exchange in slow] == [408, 408]
    prompt = await Exchange(app, "/studies", [body(radiograph())], {"content-type": RELATED}).run()
    assert prompt.status == 200


def exposed(tmp_path: Path, configured: Configuration, **web: Any) -> Configuration:
    changed = configured.web.model_copy(update={"host": "0.0.0.0", **web})  # noqa: S104
    return configured.model_copy(update={"web": changed})


async def test_another_address_needs_a_token(
    tmp_path: Path, configured: Configuration, gateway: Gateway
) -> None:
    content, headers = body(radiograph()), {"content-type": RELATED}
    async with client_of(exposed(tmp_path, configured), gateway) as client:
        answer = await client.post("/studies", content=content, headers=headers)
        assert answer.status_code == 404
    token = tmp_path / "token"
    token.write_text("s3cret")
    async with client_of(exposed(tmp_path, configured, token_file=token), gateway) as client:
        statuses = []
        for given in (None, "Bearer wrong", "Basic s3cret", "Bearer s3cret"):
            allowed = {} if given is None else {"authorization": given}
            answer = await client.post("/studies", content=content, headers=headers | allowed)
            statuses.append(answer.status_code)
    assert statuses == [401, 401, 401, 200]


async def test_health_and_metrics(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    running.send(configured.listen.port, radiograph())
    pacs.wait_for(2)
    running.wait_until(lambda: not running.is_busy(gateway))
    async with client_of(configured, gateway) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        text = (await client.get("/metrics")).text
    assert 'g2d_gateway_instances{state="done"} 1.0' in text
    assert 'g2d_gateway_results{peer="archive",state="done"} 2.0' in text
    assert 'g2d_gateway_received_total{outcome="taken"} 1.0' in text
    assert ROOT not in text


def test_a_client_of_others_is_understood(
    started: tuple[Configuration, str], pacs: Archive
) -> None:
    _, address = started
    stored = DICOMwebClient(address).store_instances([parsed(radiograph())])
    assert stored.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{ROOT}.1.1"
    pacs.wait_for(2)


@pytest.fixture
def started(configured: Configuration, gateway: Gateway) -> Iterator[tuple[Configuration, str]]:
    """Serve the application of a gateway over a real connection."""
    store = Store(configured, gateway.intake)
    app = build_app(store, gateway.metrics, gateway.refresh_metrics, gateway.is_ready)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    running.wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield configured, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
