"""Tokens of an identity provider: only what its key signed for this service is accepted."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.id_tokens import IdTokens
from service.auth.principal import Principal, Scope
from service.auth.signing_keys import SigningKeys
from service.errors import NotAuthorised
from service.settings import OidcSettings
from tests.builders.service.auth import issuer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    file.write_text(issuer.jwks())
    return file


def verifier(path: Path, **options: Any) -> IdTokens:
    settings = OidcSettings(
        issuer=issuer.ISSUER, audience=issuer.AUDIENCE, jwks=str(path), **options
    )
    return IdTokens(settings, SigningKeys(settings))


async def test_a_token_of_the_issuer_names_its_client(path: Path) -> None:
    tokens = verifier(path)
    principal = await tokens.verify(issuer.token())
    owner = f"oidc:{issuer.ISSUER}\0f3a1"
    assert principal == Principal("oidc:f3a1", frozenset({Scope.INFER, Scope.JOBS}), owner)
    assert (await tokens.verify(issuer.token(aud=["other", "g2d"]))).owner == owner


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 31}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": int(time.time()) + 600}, "early"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": {"g2d": 1}}, "audience"),
        ({"iss": "https://id.example.org/realms/other"}, "issuer"),
        ({"iss": issuer.ISSUER + "/"}, "issuer"),
        ({"exp": None}, "claims"),
        ({"aud": None}, "claims"),
        ({"iss": None}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": "a b"}, "claims"),
        ({"sub": "a\nb"}, "claims"),
        ({"sub": "x" * 256}, "claims"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": [1]}, "malformed"),
        ({"scope": "x" * 9000}, "malformed"),
        ({"key": issuer.OTHER_KEY}, "signature"),
        ({"kid": "2"}, "key"),
        ({"kid": None}, "algorithm"),
    ],
)
async def test_a_token_with_a_fault_is_refused_with_the_reason(
    path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotAuthorised) as caught:
        await verifier(path).verify(issuer.token(**changes))
    assert caught.value.reason == reason


def forged(header: dict[str, Any], signature: bytes = b"", payload: bytes | None = None) -> str:
    """Return a token with any header and signature."""
    body = json.dumps(issuer.claims()).encode() if payload is None else payload
    parts = (json.dumps(header).encode(), body, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "RS256", "HS256", None, 1, []])
async def test_no_token_without_a_signature_is_accepted(path: Path, algorithm: Any) -> None:
    with pytest.raises(NotAuthorised):
        await verifier(path).verify(forged({"alg": algorithm, "kid": "1"}))


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_a_public_key_is_no_secret_of_an_hmac(path: Path, encoding: Encoding) -> None:
    secret = issuer.KEY.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    unsigned = forged({"alg": "HS256", "kid": "1"}).rstrip(".")
    digest = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    with pytest.raises(NotAuthorised) as caught:
        await verifier(path).verify(f"{unsigned}.{signature}")
    assert caught.value.reason == "algorithm"


SHARED = {"kty": "oct", "kid": "2", "k": base64.urlsafe_b64encode(b"k" * 32).decode()}


@pytest.mark.parametrize(
    ("published", "token"),
    [
        (SHARED, issuer.token(key=b"k" * 32, kid="2", algorithm="HS256")),
        (
            issuer.jwk("2", issuer.OTHER_KEY, use="enc"),
            issuer.token(key=issuer.OTHER_KEY, kid="2"),
        ),
    ],
    ids=["symmetric", "for encryption"],
)
def test_a_key_that_is_not_for_signatures_is_not_used(
    path: Path, published: dict[str, str], token: str
) -> None:
    path.write_text(issuer.jwks(issuer.jwk(), published))
    with pytest.raises(NotAuthorised):
        asyncio.run(verifier(path).verify(token))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        forged({}),
        forged({"alg": "ES256", "kid": {"a": 1}}),
        forged({"alg": "ES256", "kid": "1", "jwk": issuer.jwk()}, b"x"),
        forged({"alg": "ES256", "kid": "1", "jku": "http://127.0.0.1:9/"}, b"x"),
        forged({"alg": "ES256", "kid": "1", "crit": ["exp"]}, b"x"),
        forged({"alg": "ES256", "kid": "1", "b64": False, "crit": ["b64"]}, b"x"),
        forged({"alg": "ES256", "kid": "1"}, b"x" * 64, b"[" * 4000),
        forged({"alg": "ES256", "kid": "../../etc/passwd"}, b"x" * 64),
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.e30",
        "\u00e9.\u00e9.\u00e9",
        "x" * 1_000_000,
    ],
)
async def test_rubbish_is_refused(path: Path, token: str) -> None:
    with pytest.raises(NotAuthorised):
        await verifier(path).verify(token)


async def test_a_changed_claim_breaks_the_signature(path: Path) -> None:
    header, _, signature = issuer.token(scope="infer").split(".")
    body = json.dumps(issuer.claims(scope="infer admin")).encode()
    changed = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    with pytest.raises(NotAuthorised) as caught:
        await verifier(path).verify(f"{header}.{changed}.{signature}")
    assert caught.value.reason == "signature"


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        ({}, {"scope": "infer"}, {Scope.INFER}),
        ({}, {"scope": ["infer", "jobs", 7]}, {Scope.INFER, Scope.JOBS}),
        ({}, {"scope": "inferred in-fer INFER"}, set()),
        ({}, {"scope": None}, set()),
        ({}, {"scope": {"infer": True}}, set()),
        ({"scope_claim": "r.roles"}, {"r": {"roles": ["admin"]}}, {Scope.ADMIN}),
        ({"scope_claim": "r.roles"}, {"r": ["roles"]}, set()),
        ({"scope_claim": "https://a.b/roles"}, {"https://a.b/roles": "jobs"}, {Scope.JOBS}),
        ({"scopes": {"infer": "cxr.read"}}, {"scope": "cxr.read jobs"}, {Scope.INFER, Scope.JOBS}),
        ({"scopes": {"infer": "cxr.read"}}, {"scope": "infer"}, set()),
    ],
)  # fmt: skip
async def test_scopes_come_from_the_claim(
    path: Path, options: dict[str, Any], changes: dict[str, Any], expected: set[Scope]
) -> None:
    principal = await verifier(path, **options).verify(issuer.token(**changes))
    assert principal.scopes == expected


async def test_a_verified_token_is_remembered_but_not_beyond_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, token = verifier(path), issuer.token(exp=int(time.time()) + 10)
    decoded: list[str] = []
    decode = jwt.decode

    def counted(token: str, *args: Any, **options: Any) -> dict[str, Any]:
        decoded.append(token)
        return decode(token, *args, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    await tokens.verify(token)
    await tokens.verify(token)
    assert len(decoded) == 1
    later = time.time() + 41
    monkeypatch.setattr(time, "time", lambda: later)
    await tokens.verify(token)
    assert len(decoded) == 2


async def test_tokens_that_are_remembered_are_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.auth.id_tokens._MAX_REMEMBERED", 3)
    tokens = verifier(path)
    for number in range(5):
        await tokens.verify(issuer.token(jti=str(number)))
    assert len(tokens._remembered) == 3
