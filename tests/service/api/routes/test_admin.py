"""Administration: authorised, conditional changes of aliases and of the canary share."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from radiograph.repository.repository import Repository
from service.errors import InvalidSettings
from service.settings import Settings
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.distinct_versions import publish
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

STABLE = "/v1/models/tiny/aliases/stable"
CANARY = "/v1/models/tiny/canary"


@pytest.fixture(scope="session")
def three_models(distinct_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions: the first one is `stable`, the last one is broken."""
    root = tiny_version.copy(distinct_models, tmp_path_factory.mktemp("three") / "models")
    publish(root, bias=3.0, alias=None)
    (root / "tiny/3/golden.npz").write_bytes(b"damaged")
    return root


@pytest.fixture
def root(three_models: Path, tmp_path: Path) -> Path:
    return tiny_version.copy(three_models, tmp_path / "models")


@pytest.fixture
async def admin(start: Start, root: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with start(models_dir=root, admin_token=TOKEN, watch_interval_s=0) as (_, client):
        yield client


async def put(client: httpx.AsyncClient, version: object = 2, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.put(STABLE, json={"version": version}, headers=ADMIN | sent)


def pointed(root: Path) -> int:
    return Repository(root).aliases("tiny")["stable"]


async def test_an_alias_moves_with_its_current_etag(admin: httpx.AsyncClient, root: Path) -> None:
    shown = await admin.get(STABLE)
    assert shown.json() == {"name": "tiny", "alias": "stable", "version": 1, "answering": 1}
    moved = await put(admin, if_match=shown.headers["etag"])
    assert moved.status_code == 200, moved.text
    assert moved.json() == {"name": "tiny", "alias": "stable", "version": 2, "answering": 2}
    assert (
        moved.headers["etag"] == (await admin.get(STABLE)).headers["etag"] != shown.headers["etag"]
    )
    assert pointed(root) == 2
    check(await put(admin, 1, if_match=shown.headers["etag"]), 412, "alias-conflict")


async def test_repeating_a_change_is_no_error(admin: httpx.AsyncClient) -> None:
    for etag in ('"1"', '"2"'):
        assert (await put(admin, if_match=etag)).status_code == 200


@pytest.mark.parametrize("given", ['"1"', "*", '"7", "1"', ' "1" '])
async def test_a_change_with_a_true_precondition_is_made(
    admin: httpx.AsyncClient, given: str
) -> None:
    assert (await put(admin, if_match=given)).status_code == 200


@pytest.mark.parametrize(
    "given", ['"2"', 'W/"1"', "1", '"01"', '"1', "", '""', '"1.0"', '"x"', '"7", "8"', '"' * 999]
)
async def test_a_false_precondition_moves_nothing(
    admin: httpx.AsyncClient, root: Path, given: str
) -> None:
    check(await put(admin, if_match=given), 412, "alias-conflict")
    assert pointed(root) == 1


async def test_a_change_without_a_precondition_is_428(admin: httpx.AsyncClient, root: Path) -> None:
    check(await put(admin), 428, "precondition-missing")
    check(await admin.post(f"{STABLE}/rollback", headers=ADMIN), 428, "precondition-missing")
    assert pointed(root) == 1


@pytest.mark.parametrize(
    ("none_match", "status", "slug"),
    [("*", 412, "alias-conflict"), ('"7"', 400, "malformed-input")],
)
async def test_both_preconditions_at_once_move_nothing(
    admin: httpx.AsyncClient, root: Path, none_match: str, status: int, slug: str
) -> None:
    check(await put(admin, if_match='"1"', if_none_match=none_match), status, slug)
    assert pointed(root) == 1


async def test_a_member_that_is_given_twice_is_422(admin: httpx.AsyncClient, root: Path) -> None:
    headers = ADMIN | {"if-match": '"1"', "content-type": "application/json"}
    body = b'{"version": 1, "version": 2}'
    check(await admin.put(STABLE, content=body, headers=headers), 422, "invalid-parameters")
    assert pointed(root) == 1


async def test_a_new_alias_is_created_once(admin: httpx.AsyncClient) -> None:
    path, headers = "/v1/models/tiny/aliases/canary", ADMIN | {"if-none-match": "*"}
    check(await admin.get(path), 404, "model-not-found")
    made = await admin.put(path, json={"version": 2}, headers=headers)
    assert (made.status_code, made.json()["answering"]) == (200, 2)
    check(await admin.put(path, json={"version": 1}, headers=headers), 412, "alias-conflict")


async def test_an_alias_that_is_not_served_moves_without_an_answering_version(
    admin: httpx.AsyncClient,
) -> None:
    path, headers = "/v1/models/tiny/aliases/archive", ADMIN | {"if-none-match": "*"}
    made = await admin.put(path, json={"version": 2}, headers=headers)
    assert (made.status_code, made.json()["answering"]) == (200, None)


async def test_a_roll_back_restores_the_previous_version(
    admin: httpx.AsyncClient, root: Path
) -> None:
    await put(admin, if_match='"1"')
    path = f"{STABLE}/rollback"
    back = await admin.post(path, headers=ADMIN | {"if-match": '"2"'})
    assert (back.json()["version"], back.json()["answering"]) == (1, 1)
    assert back.headers["etag"] == '"1"'
    further = await admin.post(path, headers=ADMIN | {"if-match": '"1"'})
    check(further, 404, "model-not-found")


async def test_a_broken_version_is_409_with_the_reason_and_moves_nothing(
    admin: httpx.AsyncClient, root: Path
) -> None:
    refused = await put(admin, 3, if_match='"1"')
    check(refused, 409, "version-refused")
    assert "golden.npz" in refused.json()["detail"]
    assert pointed(root) == 1
    assert (await admin.get(STABLE)).json()["answering"] == 1
    listed = (await admin.get("/v1/models/tiny")).json()["versions"]
    assert [version["version"] for version in listed] == [1]
    assert (await admin.get("/health/ready")).status_code == 200


async def test_a_roll_back_to_a_broken_version_moves_nothing(start: Start, root: Path) -> None:
    Repository(root).set_alias("tiny", "stable", 2)
    async with start(models_dir=root, admin_token=TOKEN, watch_interval_s=0) as (_, client):
        (root / "tiny/1/trunk.onnx").unlink()
        refused = await client.post(f"{STABLE}/rollback", headers=ADMIN | {"if-match": '"2"'})
    check(refused, 409, "version-refused")
    assert pointed(root) == 2


async def test_invalid_aliases_are_a_problem_with_the_reason(
    admin: httpx.AsyncClient, root: Path
) -> None:
    (root / "tiny/aliases.json").write_text("{")
    for response in (await admin.get(STABLE), await put(admin, if_match='"1"')):
        check(response, 409, "version-refused")
        assert "aliases.json" in response.json()["detail"]


async def test_a_full_models_directory_is_507_and_leaves_no_file(
    admin: httpx.AsyncClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(path.name for path in (root / "tiny").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        check(await put(admin, if_match='"1"'), 507, "storage-full")
    assert (await admin.get(STABLE)).json()["answering"] == 1
    assert {path.name for path in (root / "tiny").iterdir()} <= {*before, ".aliases.lock"}


async def test_a_read_only_models_directory_is_a_problem(
    admin: httpx.AsyncClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == ".aliases.lock":
            raise OSError(30, "Read-only file system")
        return open(self, *arguments, **options)  # noqa: PTH123 - it is `Path.open`

    monkeypatch.setattr(Path, "open", refuse)
    response = await put(admin, if_match='"1"')
    check(response, 409, "repository-unwritable")
    assert "Read-only file system" in response.json()["detail"]
    assert (await admin.get(STABLE)).json()["answering"] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is read-only for root")
async def test_a_folder_without_write_permission_is_a_problem(
    admin: httpx.AsyncClient, root: Path
) -> None:
    (root / "tiny").chmod(stat.S_IRUSR | stat.S_IXUSR)
    check(await put(admin, if_match='"1"'), 409, "repository-unwritable")


# authorisation


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {TOKEN.upper()}",
        "Bearer \u00e9" * 3,
        "Bearer " + "x" * 5000,
    ],
)
async def test_a_request_without_the_token_changes_nothing(
    admin: httpx.AsyncClient, root: Path, given: str | None
) -> None:
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    calls: list[tuple[str, str]] = [
        ("PUT", STABLE),
        ("POST", f"{STABLE}/rollback"),
        ("PUT", CANARY),
    ]
    for method, path in calls:
        sent = {name.encode(): value for name, value in headers.items()} | {b"if-match": b'"1"'}
        response = await admin.request(method, path, content=b"{", headers=list(sent.items()))
        check(response, 401, "not-authorised")
        assert response.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in response.text
    assert pointed(root) == 1


async def test_the_scheme_is_case_insensitive(admin: httpx.AsyncClient) -> None:
    assert (await put(admin, if_match='"1"', authorization=f"bEARER {TOKEN}")).status_code == 200


async def test_a_service_without_a_token_changes_nothing(start: Start, root: Path) -> None:
    async with start(models_dir=root) as (_, client):
        for headers in ({}, {"authorization": "Bearer "}, ADMIN):
            response = await client.put(STABLE, json={"version": 2}, headers=headers)
            check(response, 403, "admin-off")
        assert (await client.get(STABLE)).status_code == 200


@pytest.mark.parametrize(
    "token", ["short", "x" * 600, "with a blank in it", "l\u00e4nger als sechzehn"]
)
def test_a_weak_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment({"G2D_ADMIN_TOKEN": token})
    assert token not in str(caught.value)


def test_the_token_is_hidden_and_an_empty_one_disables_changes() -> None:
    settings = Settings.from_environment({"G2D_ADMIN_TOKEN": TOKEN})
    assert TOKEN not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()
    assert Settings.from_environment({"G2D_ADMIN_TOKEN": ""}).security.admin_token is None
    assert settings.changed(port=1).security.admin_token == settings.security.admin_token


# hostile names, numbers and bodies


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.name != ".aliases.lock"}


NAMES = ["..", "%2e%2e", "..%2ftiny", "TINY", "x" * 300, "tiny%00", "%0a", "-", "'", ".publish"]


@pytest.mark.parametrize("name", NAMES)
async def test_an_invalid_name_is_404_and_touches_no_file(
    admin: httpx.AsyncClient, root: Path, name: str
) -> None:
    before = files(root)
    headers = ADMIN | {"if-none-match": "*"}
    for path in (f"/v1/models/{name}/aliases/stable", f"/v1/models/tiny/aliases/{name}1"):
        response = await admin.put(path, json={"version": 2}, headers=headers)
        assert response.status_code in (404, 405), response.text
        assert (await admin.get(path)).status_code in (404, 405)
    await admin.put(f"/v1/models/{name}/canary", json={"share": 0.5}, headers=ADMIN)
    assert files(root) == before


@pytest.mark.parametrize("version", [4, 10**8, 999_999_999])
async def test_a_missing_version_is_404(admin: httpx.AsyncClient, root: Path, version: int) -> None:
    check(await put(admin, version, if_match='"1"'), 404, "model-not-found")
    assert pointed(root) == 1


BODIES: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"2",
    b"[]",
    b"{}",
    b'{"version": 0}',
    b'{"version": -1}',
    b'{"version": "2"}',
    b'{"version": 2.0}',
    b'{"version": true}',
    b'{"version": null}',
    b'{"version": NaN}',
    b'{"version": 1e400}',
    b'{"version": 1000000000}',
    b'{"version": ' + b"9" * 3000 + b"}",
    b'{"version": 2, "force": true}',
    b"[" * 4000,
    b"\xff\xfe",
    b'{"version": 2}x',
]


@pytest.mark.parametrize("body", BODIES)
async def test_an_invalid_body_is_422(admin: httpx.AsyncClient, root: Path, body: bytes) -> None:
    headers = ADMIN | {"if-match": '"1"', "content-type": "application/json"}
    response = await admin.put(STABLE, content=body, headers=headers)
    check(response, 422, "invalid-parameters")
    assert pointed(root) == 1


async def test_a_long_body_is_413(admin: httpx.AsyncClient) -> None:
    headers = ADMIN | {"if-match": '"1"', "content-type": "application/json"}
    response = await admin.put(STABLE, content=b" " * 5000, headers=headers)
    check(response, 413, "input-too-large")


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/plain"}, {}, {"content-encoding": "gzip"}]
)
async def test_a_body_of_another_type_than_json_is_415(
    admin: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    given = (
        {"content-type": "application/json"} | headers if "content-encoding" in headers else headers
    )
    response = await admin.put(
        STABLE, content=b'{"version": 2}', headers=ADMIN | {"if-match": '"1"'} | given
    )
    check(response, 415, "unsupported-encoding")


# canary share


async def test_the_share_is_shown_and_changed(admin: httpx.AsyncClient) -> None:
    assert (await admin.get(CANARY)).json() == {"name": "tiny", "share": 0.0, "answering": None}
    changed = await admin.put(CANARY, json={"share": 0.25}, headers=ADMIN)
    assert changed.json()["share"] == (await admin.get(CANARY)).json()["share"] == 0.25


@pytest.mark.parametrize(
    "body",
    [b'{"share": -0.1}', b'{"share": 1.1}', b'{"share": NaN}', b'{"share": "1"}', b"{}", b"0.1"],
)
async def test_an_invalid_share_is_422(admin: httpx.AsyncClient, body: bytes) -> None:
    headers = ADMIN | {"content-type": "application/json"}
    check(await admin.put(CANARY, content=body, headers=headers), 422, "invalid-parameters")


async def test_a_share_of_a_model_that_is_not_served_is_404(admin: httpx.AsyncClient) -> None:
    response = await admin.put("/v1/models/other/canary", json={"share": 1}, headers=ADMIN)
    check(response, 404, "model-not-found")
    check(await admin.get("/v1/models/other/canary"), 404, "model-not-found")
