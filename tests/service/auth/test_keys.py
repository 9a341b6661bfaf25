"""API keys: only the whole key is accepted, and nothing that is kept contains its secret."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from service.auth.keys import ApiKey, KeySet, new_key, verify
from service.auth.principal import Principal, Scope
from service.errors import NotAuthorised

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY, TOKEN = new_key("pacs", [Scope.JOBS, Scope.INFER], NOW, None)
KEYS = {KEY.id: KEY}


def test_a_key_names_its_client() -> None:
    expected = Principal(f"key:{KEY.id}", frozenset({Scope.INFER, Scope.JOBS}), "key:pacs")
    assert verify(KEYS, TOKEN) == expected


def test_only_the_digest_of_a_secret_is_kept() -> None:
    found = re.fullmatch(r"g2d_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", TOKEN)
    assert found is not None
    assert KEY.id == found[1]
    assert KEY.sha256 == hashlib.sha256(found[2].encode()).hexdigest()
    assert found[2] not in KEY.model_dump_json()


def test_two_keys_have_nothing_in_common() -> None:
    made = [new_key("pacs", [Scope.INFER], NOW, None) for _ in range(50)]
    assert len({key.id for key, _ in made}) == len({key.sha256 for key, _ in made}) == 50


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (TOKEN[:-1], "malformed"),
        (TOKEN + "A", "malformed"),
        (TOKEN + "\n", "malformed"),
        (TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "B"), "unknown"),
        (f"g2d_{'0' * 16}_{TOKEN[21:]}", "unknown"),
        (f"g2d_{KEY.id}_{'A' * 43}", "unknown"),
        (f"g2d_{KEY.id}_{KEY.sha256[:43]}", "unknown"),
        (f"g2d_{KEY.id}_{KEY.sha256}", "malformed"),
        (TOKEN.replace("g2d_", "G2D_"), "malformed"),
        (TOKEN.upper(), "malformed"),
        ("g2d_", "malformed"),
        ("g2d_" + "\u0660" * 16 + TOKEN[20:], "malformed"),
        ("g2d_" + "0" * 1_000_000, "malformed"),
    ],
    ids=[f"token{n}" for n in range(13)],  # the key is drawn anew in every process
)
def test_anything_but_the_whole_key_is_refused(token: str, reason: str) -> None:
    with pytest.raises(NotAuthorised) as caught:
        verify(KEYS, token)
    assert caught.value.reason == reason
    assert TOKEN[21:40] not in str(caught.value)


def test_an_expired_key_is_refused_and_says_so() -> None:
    key, token = new_key("pacs", [Scope.INFER], NOW, NOW + timedelta(days=1))
    with pytest.raises(NotAuthorised, match="expired") as caught:
        verify({key.id: key}, token)
    assert caught.value.reason == "expired"
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(NotAuthorised, match="not known"):
        verify({key.id: key}, wrong)


def test_a_key_is_valid_until_it_expires() -> None:
    key, token = new_key("pacs", [Scope.INFER], NOW, datetime.now(UTC) + timedelta(days=1))
    assert verify({key.id: key}, token).owner == "key:pacs"


@pytest.mark.parametrize("owner", ["", "a b", "a\nb", "-a", "x" * 65, "pac\u00e9", "../pacs"])
def test_an_owner_that_could_forge_a_log_line_is_refused(owner: str) -> None:
    with pytest.raises(ValidationError):
        new_key(owner, [Scope.INFER], NOW, None)


def test_a_key_without_a_scope_is_refused() -> None:
    with pytest.raises(ValidationError):
        new_key("pacs", [], NOW, None)


def test_an_identifier_occurs_once() -> None:
    other = ApiKey(**{**KEY.model_dump(), "owner": "other"})
    with pytest.raises(ValidationError, match="same identifier"):
        KeySet(keys=(KEY, other))
