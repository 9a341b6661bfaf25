"""Access: finds the client of a request, and decides whether it may do what it asks for.

scope open to everybody? --> anonymous, whatever token a gateway may have left in the request
no token --> anonymous, if anonymous clients are served, or refused
token --> token of administration | API key | JWT --> principal --> scope held? or refused
"""

import hmac
import re
from collections.abc import Sequence

from service.auth import keys
from service.auth.attempts import Attempts
from service.auth.id_tokens import IdTokens
from service.auth.key_file import KeyFile
from service.auth.principal import ANYBODY, NOBODY, Principal, Scope
from service.auth.quota import Quota
from service.auth.signing_keys import SigningKeys
from service.errors import AdminOff, InvalidKeyFile, InvalidSettings, NotAuthorised, ScopeMissing
from service.observability.observer import NULL_OBSERVER, Observer
from service.settings import Settings

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_ADMIN = Principal("admin-token", frozenset({Scope.ADMIN}), "admin-token")


class Access:
    """Finds the client of each request. Used on the event loop only.

    Args:
        settings: settings of the service.
        observer: receives the reasons why tokens are wrong, and changes of API keys.

    Attributes:
        observer: the same.
        log_refused_source: what the log says about the source of a wrong token.
        key_file: the API keys, or None if there are none.
        quota: counts the requests of each client.
    """

    def __init__(self, settings: Settings, observer: Observer = NULL_OBSERVER) -> None:
        """Read the API keys.

        Raises:
            InvalidSettings: the file of the API keys cannot be used.
        """
        self.observer = observer
        self.log_refused_source = settings.security.log_refused_source
        admin_token = settings.security.admin_token
        self._admin_token = None if admin_token is None else admin_token.get_secret_value().encode()
        self._authenticates = settings.authenticates
        served = settings.security.allow_anonymous or not self._authenticates
        self._anonymous = ANYBODY if served else NOBODY
        self.key_file = _key_file(settings, observer)
        self.quota = Quota(settings.clients)
        self._attempts = Attempts()
        oidc = settings.oidc
        self._id_tokens = None if oidc.issuer is None else IdTokens(oidc, SigningKeys(oidc))

    def is_open(self, scope: Scope) -> bool:
        """Return whether everybody may do this, so that tokens are not looked at."""
        return not self._authenticates and scope in self._anonymous.scopes

    async def authorise(self, scope: Scope, authorization: Sequence[str], source: str) -> Principal:
        """Return the client of a request that needs a scope.

        Args:
            scope: what the client wants to do.
            authorization: values of the header `Authorization`.
            source: address of the client.

        Raises:
            AdminOff: nobody may administer this service over HTTP.
            NotAuthorised: the token is missing or wrong.
            ScopeMissing: the token does not allow this.
            TooManyRequests: the source sent too many wrong tokens.
            IdentityProviderUnavailable: the keys of the issuer cannot be fetched.
        """
        if self.is_open(scope):
            return self._anonymous
        if scope is Scope.ADMIN and self._admin_token is None and not self._authenticates:
            raise AdminOff("set G2D_ADMIN_TOKEN to allow changes over HTTP")
        principal = self._anonymous
        if authorization:
            principal = await self._identify_with_patience(authorization, source)
        if scope in principal.scopes | self._anonymous.scopes:
            return principal
        if not authorization:
            raise NotAuthorised("send a token as Authorization: Bearer TOKEN", "missing")
        raise ScopeMissing(f"the token does not have the scope `{scope}`")

    async def _identify_with_patience(self, authorization: Sequence[str], source: str) -> Principal:
        """Return the client that sent a token, and slow down a source of wrong ones."""
        self._attempts.check(source, authorization)
        try:
            principal = await self._identify(authorization)
        except NotAuthorised:
            self._attempts.wrong(source, authorization)
            raise
        self._attempts.right(authorization)
        return principal

    async def _identify(self, authorization: Sequence[str]) -> Principal:
        """Return the client that sent a token.

        Raises:
            NotAuthorised: the token is malformed, unknown or expired.
            IdentityProviderUnavailable: the keys of the issuer cannot be fetched.
        """
        bearer = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        if bearer is None:
            raise NotAuthorised("send one token as Authorization: Bearer TOKEN", "malformed")
        token = bearer[1]
        if self._admin_token is not None and hmac.compare_digest(
            token.encode(errors="replace"), self._admin_token
        ):
            return _ADMIN
        if self.key_file is not None and token.startswith(keys.PREFIX):
            return keys.verify(self.key_file.keys, token)
        if self._id_tokens is not None and token.count(".") == 2:
            return await self._id_tokens.verify(token)
        raise NotAuthorised("the token is not known", "unknown")


def check_exposure(settings: Settings) -> None:
    """Refuse to serve other hosts without authentication, unless the operator asks for it.

    Raises:
        InvalidSettings: the service would be open to everybody who can reach it.
    """
    if settings.authenticates or settings.security.allow_anonymous or settings.server.is_local:
        return
    raise InvalidSettings(
        f"G2D_ALLOW_ANONYMOUS: {settings.server.host} can be reached from other hosts, and no "
        "client is authenticated: set G2D_KEYS_FILE or G2D_OIDC_ISSUER, or behind a gateway "
        "G2D_ALLOW_ANONYMOUS=true"
    )


def _key_file(settings: Settings, observer: Observer) -> KeyFile | None:
    path = settings.security.keys_file
    try:
        return None if path is None else KeyFile(path, observer)
    except InvalidKeyFile as error:
        raise InvalidSettings(f"G2D_KEYS_FILE: {error}") from error
