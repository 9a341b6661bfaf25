"""JWTs of an identity provider: verified, and read as a principal.

    header --alg, kid--> key of the issuer --signature, exp, nbf, iss, aud--> sub, scopes

Only signatures with a public key are accepted: neither `none`, nor an HMAC, for which somebody
could use the public key as the secret. A verified token is remembered for a minute at most.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import jwt
from jwt import exceptions

from service.auth.principal import Principal, Scope
from service.auth.signing_keys import SigningKeys
from service.errors import NotAuthorised
from service.settings import OidcSettings

LEEWAY_S = 30.0
"""Difference of the clocks of the issuer and of this host."""

_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
_ACCEPTED = frozenset(name for names in _ALGORITHMS.values() for name in names)
_CLAIMS = ["exp", "iss", "aud", "sub"]
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_CHARS = 8192
_REMEMBERED_S = 60.0
_MAX_REMEMBERED = 1024
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.ExpiredSignatureError, "the token has expired", "expired"),
    (exceptions.ImmatureSignatureError, "the token is not valid yet", "early"),
    (exceptions.InvalidAudienceError, "the token is for another audience", "audience"),
    (exceptions.InvalidIssuerError, "the token is from another issuer", "issuer"),
    (exceptions.InvalidSignatureError, "the signature of the token is wrong", "signature"),
    (exceptions.MissingRequiredClaimError, "the token lacks a required claim", "claims"),
)


class IdTokens:
    """Verifies the tokens of one issuer. Used on the event loop only.

    Args:
        settings: settings of the issuer, which must be given.
        keys: its public keys.
    """

    def __init__(self, settings: OidcSettings, keys: SigningKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._remembered: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """Return the client that sent a token.

        Raises:
            NotAuthorised: the token is malformed, expired, or meant for somebody else.
            IdentityProviderUnavailable: the keys of the issuer cannot be fetched.
        """
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and time.time() < remembered[1]:
            return remembered[0]
        claims = await self._claims(token)
        principal = self._principal(claims)
        until = min(time.time() + _REMEMBERED_S, int(claims["exp"]) + LEEWAY_S)
        self._remembered[digest] = principal, until
        while len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature, time, issuer and audience are right."""
        try:
            if len(token) > _MAX_CHARS:
                raise exceptions.DecodeError
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if header.get("alg") not in _ACCEPTED or not isinstance(kid, str):
                raise NotAuthorised(
                    "a token needs a key identifier and a public-key signature", "algorithm"
                )
            key = await self._keys.find(kid)
            return jwt.decode(
                token,
                key.key,
                algorithms=_ALGORITHMS[key.key_type or ""],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_S,
                options={"require": _CLAIMS},
            )
        except (
            exceptions.PyJWTError,
            ArithmeticError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            for kind, message, reason in _REASONS:
                if isinstance(error, kind):
                    raise NotAuthorised(message, reason) from None
            raise NotAuthorised("the token is malformed", "malformed") from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise NotAuthorised("the subject of the token is not 1 to 255 visible ASCII", "claims")
        given = _values(_claim(claims, self._settings.scope_claim))
        scopes = frozenset(
            scope for scope in Scope if self._settings.scopes.get(scope.value, scope.value) in given
        )
        owner = f"oidc:{self._settings.issuer}\0{subject}"
        return Principal(f"oidc:{subject}", scopes, owner)


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Return a claim by its name, or by the names of nested claims joined with dots."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _values(claim: object) -> frozenset[str]:
    """Return the words of a claim that is a text or a list of texts."""
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(item for item in claim if isinstance(item, str))
    return frozenset()
