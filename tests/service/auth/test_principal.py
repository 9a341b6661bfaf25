"""Principals: what anonymous clients may do, and what is stored of an owner."""

import dataclasses
import hashlib

import pytest

from service.auth.principal import ANYBODY, NOBODY, Principal, Scope


def test_an_anonymous_client_never_administers_and_owns_nothing() -> None:
    assert ANYBODY.scopes == {Scope.INFER, Scope.JOBS, Scope.METRICS}
    assert NOBODY.scopes == frozenset()
    assert NOBODY.owner_digest is ANYBODY.owner_digest is None


def test_the_digest_of_an_owner_is_stored() -> None:
    principal = Principal("key:1", frozenset({Scope.JOBS}), "pacs")
    assert principal.owner_digest == hashlib.sha256(b"pacs").hexdigest()


def test_a_principal_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ANYBODY.scopes = frozenset(Scope)  # type: ignore[misc]
