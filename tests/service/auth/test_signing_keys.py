"""Keys of an identity provider: fetched seldom, kept while it is away, and over https only."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.auth import signing_keys
from service.auth.signing_keys import SigningKeys
from service.errors import IdentityProviderUnavailable, InvalidSettings, NotAuthorised
from service.settings import OidcSettings, Settings
from tests.builders.service.auth import issuer
from tests.builders.service.auth.issuer import JwksServer


class Clock:
    """The monotonic clock of the keys, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()

    class Time:
        monotonic = made
        time = time.time

    monkeypatch.setattr(signing_keys, "time", Time)
    return made


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with issuer.serving() as state:
        yield state


def keys_of(url: str) -> SigningKeys:
    return SigningKeys(OidcSettings(issuer=issuer.ISSUER, audience="g2d", jwks=url, timeout_s=2.0))


async def test_keys_are_fetched_once_and_again_when_they_are_old(
    server: JwksServer, clock: Clock
) -> None:
    keys = keys_of(server.url)
    assert [(await keys.find("1")).key_id for _ in range(3)] == ["1"] * 3
    assert server.asked == 1
    clock.now += signing_keys.FRESH_S
    await keys.find("1")
    assert server.asked == 2


async def test_a_flood_of_unknown_keys_costs_one_fetch(server: JwksServer, clock: Clock) -> None:
    keys = keys_of(server.url)
    clock.now += 1
    refusals = await asyncio.gather(
        *(keys.find(f"made-up-{number}") for number in range(50)), return_exceptions=True
    )
    assert {type(refusal) for refusal in refusals} == {NotAuthorised}
    assert server.asked == 1
    clock.now += signing_keys.COOLDOWN_S
    server.body = issuer.jwks(issuer.jwk(), issuer.jwk("2", issuer.OTHER_KEY))
    assert (await keys.find("2")).key_id == "2"


async def test_keys_serve_on_while_their_server_is_away_and_then_no_more(
    server: JwksServer, clock: Clock
) -> None:
    keys = keys_of(server.url)
    await keys.find("1")
    server.status = 500
    clock.now += signing_keys.FRESH_S
    assert (await keys.find("1")).key_id == "1"
    with pytest.raises(IdentityProviderUnavailable):
        await keys.find("2")
    clock.now += signing_keys.USABLE_S
    with pytest.raises(IdentityProviderUnavailable) as caught:
        await keys.find("1")
    assert caught.value.retry_after_s == 10


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, ""),
        (302, ""),
        (200, ""),
        (200, "[]"),
        (200, "{}"),
        (200, '{"keys": []}'),
        (200, '{"keys": [{"kty": "RSA"}]}'),
        (200, "[" * 100_000),
        (200, "<html>"),
    ],
)
async def test_an_answer_without_keys_is_unavailable(
    server: JwksServer, status: int, body: str
) -> None:
    server.status, server.body = status, body
    with pytest.raises(IdentityProviderUnavailable):
        await keys_of(server.url).find("1")


async def test_a_server_that_cannot_be_reached_is_asked_seldom(clock: Clock) -> None:
    keys = keys_of("http://127.0.0.1:9/jwks")
    fetches: list[float] = []
    fetch = keys._fetch

    async def counted() -> None:
        fetches.append(clock.now)
        await fetch()

    keys._fetch = counted  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(IdentityProviderUnavailable):
            await keys.find("1")
    assert len(fetches) == 1


async def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(IdentityProviderUnavailable):
        await keys_of(str(tmp_path / "jwks.json")).find("1")


@pytest.mark.parametrize(
    "given",
    [
        {"oidc_issuer": "https://id.example.org"},
        {"oidc_issuer": "https://id.example.org", "oidc_audience": "g2d"},
        {"oidc_jwks": "https://id.example.org/jwks"},
        {"oidc_issuer": "x", "oidc_audience": "g2d", "oidc_jwks": "http://id.example.org/jwks"},
        {"oidc_scopes": "root=admin"},
    ],
)
def test_incomplete_or_unsafe_settings_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="G2D_OIDC"):
        Settings.of(**given)


def test_a_complete_issuer_authenticates_clients() -> None:
    given = {"G2D_OIDC_ISSUER": "x", "G2D_OIDC_AUDIENCE": "g2d", "G2D_OIDC_JWKS": "keys.json"}
    settings = Settings.from_environment(given | {"G2D_OIDC_SCOPES": "infer=read, jobs=batch"})
    assert settings.authenticates
    assert settings.oidc.scopes == {"infer": "read", "jobs": "batch"}
    empty = dict.fromkeys(given, "")
    assert not Settings.from_environment(empty).authenticates
