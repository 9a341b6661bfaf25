"""The audit log of a running service: requests, job items and versions, and a log that fails."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.audit.chain.store import AuditStore
from service.audit.chain.verification import verify
from service.auth.principal import Scope
from service.errors import InvalidSettings
from service.observability.metrics.service_metrics import Metrics
from service.settings import Settings
from tests.builders.files.dicom_files import SOP_INSTANCE_UID
from tests.builders.jobs import job_bodies, job_clients
from tests.builders.service.auth import api_keys
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.sqlite"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("ab" * 32)
    return file


def records(log: Path) -> list[dict[str, Any]]:
    """Return the records of a log, which must be sound."""
    store = AuditStore(f"sqlite:///{log}")
    rows = list(store.rows())
    store.close()
    assert verify(rows).faults == ()
    return [json.loads(row.record) for row in rows]


def pseudonym(log: Path, uid: str) -> str:
    key = bytes.fromhex(Path(f"{log}.key").read_text())
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_an_answer_is_audited_before_it_is_given(
    start: Start, log: Path, rectangle_dicom: bytes
) -> None:
    async with start(audit_file=log, audit_writer="w") as (_, client):
        sent = DICOM | {"x-request-id": "r-1"}
        answer = await client.post("/v1/segment", content=rectangle_dicom, headers=sent)
        assert ", audit;dur=" in answer.headers["server-timing"]
        (record,) = [record for record in records(log) if record["act"] == "infer"]
    expected = {
        "principal": "anonymous",
        "request_id": "r-1",
        "model": "tiny",
        "version": 1,
        "digest": answer.json()["model"]["digest"],
        "tasks": ["segment"],
        "input_sha256": sha256(rectangle_dicom),
        "instance": pseudonym(log, SOP_INSTANCE_UID),
        "result_sha256": sha256(answer.content),
        "status": 200,
        "writer": "w",
    }
    assert record.items() >= expected.items()
    assert "problem" not in record


async def test_a_file_that_cannot_be_read_is_audited_with_its_problem(
    start: Start, log: Path, rectangle_dicom: bytes
) -> None:
    async with start(audit_file=log) as (_, client):
        cut = rectangle_dicom[:-5000]
        assert (await client.post("/segment", content=cut, headers=DICOM)).status_code == 400
        refused = await client.post("/segment", content=cut, headers={"content-type": "text/plain"})
        assert refused.status_code == 415
    (record,) = [record for record in records(log) if record["act"] == "infer"]
    assert record["input_sha256"] == sha256(cut)
    assert (record["status"], record["problem"]) == (400, "urn:g2d:problem:malformed-input")
    assert "result_sha256" not in record
    assert "instance" not in record


async def test_the_life_of_the_service_and_its_versions_is_audited(start: Start, log: Path) -> None:
    async with start(audit_file=log):
        pass
    acts = [record["act"] for record in records(log)]
    assert acts == ["started", "version-ready", "alias-moved", "stopped"]
    async with start(audit_file=log):
        pass
    assert [record["number"] for record in records(log)] == list(range(1, 9))


async def test_keys_that_change_and_wrong_tokens_are_audited(
    start: Start, log: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    key, _ = api_keys.add(keys, "pacs")
    wrong = {"authorization": "Bearer g2d_no-such-key", "x-request-id": "r-7"}
    async with start(audit_file=log, keys_file=keys) as (app, client):
        assert (await client.get("/v1/models", headers=wrong)).status_code == 401
        assert (await client.get("/v1/models")).status_code == 401  # no token, no attempt
        api_keys.remove(keys, [key])
        added, _ = api_keys.add(keys, "viewer")
        app.state.components.access.key_file.refresh()
    acts = {record["act"]: record for record in records(log)}
    refused = {"principal": "unknown", "request_id": "r-7", "status": 401}
    assert acts["credential-refused"].items() >= refused.items()
    revoked = {"principal": "service", "key": f"key:{key.id}", "owner": "pacs"}
    assert acts["key-revoked"].items() >= revoked.items()
    assert (acts["key-created"]["key"], acts["key-created"]["owner"]) == (
        f"key:{added.id}",
        "viewer",
    )
    assert all("no-such-key" not in json.dumps(record) for record in records(log))
    assert sum(record["act"] == "credential-refused" for record in records(log)) == 1


async def test_every_item_of_a_job_is_audited(
    start: Start, log: Path, rectangle_dicom: bytes, rectangle_png: bytes
) -> None:
    files = {"1.dcm": rectangle_dicom, "2.png": rectangle_png, "3.dcm": rectangle_dicom[:-5000]}
    body = job_bodies.zip_file(files)
    async with start(audit_file=log) as (_, client):
        address = await job_clients.accepted(client, body, job_bodies.ZIP, "?tasks=segment")
        await job_clients.finished(client, address)
    items = [record for record in records(log) if record["act"] == "infer-job-item"]
    assert [item["input_sha256"] for item in items] == [sha256(data) for data in files.values()]
    assert [item["status"] for item in items] == [200, 200, 400]
    assert ["instance" in item for item in items] == [True, False, False]
    assert len({item["request_id"].partition("-")[0] for item in items}) == 1
    assert address.rpartition("/")[2] not in json.dumps(items)


async def test_an_item_of_a_job_is_audited_under_the_owner_of_the_job(
    start: Start, log: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    pacs = api_keys.client_headers(path, "pacs", Scope.JOBS)
    body = job_bodies.zip_file({"1": job_bodies.radiograph()})
    async with start(audit_file=log, keys_file=path, allow_anonymous=True) as (_, client):
        for credential in (pacs, {}):
            address = await job_clients.accepted(client, body, job_bodies.ZIP | credential)
            await job_clients.finished(client, address, credential)
    items = [record for record in records(log) if record["act"] == "infer-job-item"]
    assert [item["status"] for item in items] == [200, 200]
    assert [item["principal"] for item in items] == [f"owner:{sha256(b'key:pacs')}", "anonymous"]


async def test_a_change_is_audited_before_it_is_made_and_after(
    start: Start, log: Path, root: Path
) -> None:
    begin = {"models_dir": root, "admin_token": TOKEN, "audit_file": log}
    change = ADMIN | {"if-match": '"1"', "x-request-id": "c-1"}
    async with start(**begin) as (_, client):
        for name, version in (("stable", 2), ("Doe^Jane", 1)):
            address = f"/v1/models/tiny/aliases/{name}"
            await client.put(address, json={"version": version}, headers=change)
        await client.put("/v1/models/tiny/canary", json={"share": 0.1}, headers=ADMIN)
        refused = await client.put("/v1/models/tiny/canary", json={"share": 0.2})
        assert refused.status_code == 401
    kept = ("act", "model", "alias", "version", "status", "problem")
    changes = [
        tuple(record.get(name) for name in kept)
        for record in records(log)
        if record["act"] in ("set-alias", "set-canary")
    ]
    problem = "urn:g2d:problem:alias-conflict"
    assert changes == [
        ("set-alias", "tiny", "stable", 2, None, None),
        ("set-alias", "tiny", "stable", 2, 200, None),
        ("set-alias", "tiny", None, 1, None, None),
        ("set-alias", "tiny", None, 1, 412, problem),
        ("set-canary", "tiny", "canary", None, None, None),
        ("set-canary", "tiny", "canary", None, 200, None),
    ]


async def test_nothing_is_changed_while_the_log_cannot_be_written(
    start: Start, log: Path, root: Path
) -> None:
    watched = Watched()
    begin = {"models_dir": root, "admin_token": TOKEN, "audit_file": log, "observer": watched}
    async with start(**begin) as (_, client):
        await watched.started()
        mend = break_log(log)
        headers = ADMIN | {"if-match": '"1"'}
        address = "/v1/models/tiny/aliases/stable"
        answer = await client.put(address, json={"version": 2}, headers=headers)
        assert answer.json()["type"] == "urn:g2d:problem:audit-unavailable"
        assert (await client.get(address)).json()["version"] == 1
        mend()


def break_log(log: Path) -> Callable[[], None]:
    """Make every insertion fail, and return what mends it."""
    connection = sqlite3.connect(log)
    connection.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON g2d_audit BEGIN SELECT RAISE(FAIL, 'disk'); END"
    )
    connection.commit()

    def mend() -> None:
        connection.execute("DROP TRIGGER broken")
        connection.commit()
        connection.close()

    return mend


class Watched(Metrics):
    """Metrics that let a test wait for the state of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._failing = False
        self._written = 0
        self._changed = threading.Condition()

    def audit_failing(self, failing: bool) -> None:
        super().audit_failing(failing)
        with self._changed:
            self._failing = failing
            self._changed.notify_all()

    def audit_entries(self, outcome: str, count: int) -> None:
        super().audit_entries(outcome, count)
        with self._changed:
            self._written += count if outcome == "written" else 0
            self._changed.notify_all()

    async def wait_until(self, *, failing: bool) -> None:
        await asyncio.to_thread(self._wait, lambda: self._failing == failing)

    async def started(self) -> None:
        """Wait until the start, the version and its alias are written."""
        await asyncio.to_thread(self._wait, lambda: self._written >= 3)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 30)


async def test_with_refuse_a_failing_log_stops_answers_and_says_so(
    start: Start, log: Path, rectangle_dicom: bytes
) -> None:
    watched = Watched()
    async with start(audit_file=log, observer=watched) as (_, client):
        await watched.started()
        mend = break_log(log)
        for _ in range(2):
            answer = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:g2d:problem:audit-unavailable"
            assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        mend()
        await watched.wait_until(failing=False)
        answer = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
        assert answer.status_code == 200
        metrics = (await client.get("/metrics")).text
    assert 'g2d_audit_entries_total{outcome="lost"} 1.0' in metrics
    acts = [record["act"] for record in records(log)]
    assert acts[-3:] == ["resumed", "infer", "stopped"]


async def test_with_continue_a_failing_log_is_said_in_readiness(
    start: Start, log: Path, rectangle_dicom: bytes
) -> None:
    watched = Watched()
    async with start(audit_file=log, audit_failure="continue", observer=watched) as (_, client):
        await watched.started()
        mend = break_log(log)
        answer = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
        assert answer.status_code == 200
        await watched.wait_until(failing=True)
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "audit": "failing"})
        assert "g2d_audit_failing 1.0" in (await client.get("/metrics")).text
        mend()
        await watched.wait_until(failing=False)
        assert (await client.get("/health/ready")).json() == {"status": "ready"}
    acts = [record["act"] for record in records(log)]
    assert acts[-3:] == ["resumed", "infer", "stopped"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"audit_file": "/proc/none/audit.sqlite"},
        {"audit_url": "mysql://x/y", "audit_key_file": "KEY"},
        {"audit_file": "LOG", "audit_key_file": "/proc/none"},
        {"audit_file": "LOG", "audit_syslog": "host:6514", "audit_syslog_ca_file": "/proc/none"},
    ],
)
async def test_a_log_that_cannot_be_used_stops_the_start(
    start: Start, log: Path, key_file: Path, wrong: dict[str, str]
) -> None:
    names = {"KEY": str(key_file), "LOG": str(log)}
    changes = {name: names.get(value, value) for name, value in wrong.items()}
    with pytest.raises(InvalidSettings, match="G2D_AUDIT"):
        async with start(**changes):
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"audit_file": "a", "audit_url": "postgresql+psycopg://x/y", "audit_key_file": "k"},
        {"audit_url": "postgresql+psycopg://x/y"},
        {"audit_syslog": "host:6514"},
        {"audit_file": "a", "audit_syslog": "host"},
        {"audit_file": "a", "audit_writer": "a b"},
        {"audit_file": "a", "audit_failure": "ignore"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="G2D_AUDIT"):
        Settings.of(**wrong)


async def test_without_settings_nothing_is_audited(start: Start, rectangle_dicom: bytes) -> None:
    async with start() as (app, client):
        answer = await client.post("/segment", content=rectangle_dicom, headers=DICOM)
        assert answer.status_code == 200
        assert app.state.components.auditor.trail is None
