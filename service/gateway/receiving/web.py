"""HTTP side of the gateway: STOW-RS in, health and metrics.

    POST /studies   multipart/related; type="application/dicom"   bearer token
    GET  /health/live, /health/ready, /metrics

The only importer of the web framework in the gateway. An instance is answered as by C-STORE: in
Referenced SOP Sequence once it is on disk, or in Failed SOP Sequence with the status; a part that
names no instance is in Other Failures Sequence.

Source: PS3.18 section 10.5 (Store Transaction).
"""

import asyncio
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from radiograph.errors import InputTooLarge, MalformedForm
from service.api.uploads.header_options import parse_options
from service.api.uploads.least_rate import LeastRate
from service.api.uploads.multipart import parts
from service.api.uploads.upload import read_body
from service.deadline import Deadline
from service.errors import BodyTimeout, ClientGone, NotAuthorised, Overloaded, ServiceError
from service.gateway.configuration import Configuration, read_secret
from service.gateway.receiving.intake import SUCCESS, Answer, Intake
from service.observability.metrics.gateway_metrics import GatewayMetrics

_REFERENCED, _FAILED, _OTHER = "00081199", "00081198", "0008119A"
"""Referenced SOP Sequence, Failed SOP Sequence, Other Failures Sequence."""
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"
"""Referenced SOP Class UID, Referenced SOP Instance UID, Failure Reason."""
_JSON = "application/dicom+json"
_INSTANCES_IN_A_BODY = 4
"""Largest instances that fit into one body."""
_MOST_PARTS = 1000
"""Instances of any size in one body: each is answered, logged and audited by itself."""
_UPLOADS = 2
"""Bodies that are received at the same time."""
_BODY_S = 120.0
_BYTES_PER_S, _GRACE_S = 32 * 1024, 30.0
"""Least rate of a body over the grace period: a slow client must not hold one of few uploads."""
_STATUSES: Mapping[type[Exception], int] = {
    NotAuthorised: 401,
    Overloaded: 503,
    BodyTimeout: 408,
    InputTooLarge: 413,
    MalformedForm: 400,
    ClientGone: 499,
}


class Store:
    """Endpoint of STOW-RS.

    Args:
        configuration: limits and the token.
        intake: takes instances.
    """

    def __init__(self, configuration: Configuration, intake: Intake) -> None:
        """Read the token.

        Raises:
            InvalidConfiguration: its file cannot be used.
        """
        self._intake = intake
        self._token = read_secret(configuration.web.token_file)
        self._is_local = configuration.web.is_local
        self._max_bytes = _INSTANCES_IN_A_BODY * configuration.listen.max_bytes
        self._uploads = 0

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if self._token is None and not self._is_local:
            return PlainTextResponse("STOW-RS needs web.token_file on this address\n", 404)
        try:
            self._authorise(request)
            boundary = _boundary(request)
            answers = await self._take(request, boundary)
        except tuple(_STATUSES) as error:
            return _error(error)
        return _answered(answers)

    def _authorise(self, request: Request) -> None:
        """Check the bearer token, if one is required.

        Raises:
            NotAuthorised: it is missing or wrong.
        """
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not same:
            raise NotAuthorised("the token is missing or wrong", "wrong")

    async def _take(self, request: Request, boundary: bytes) -> list[Answer]:
        if self._uploads >= _UPLOADS:
            raise Overloaded("too many uploads; retry later")
        self._uploads += 1
        try:
            body = await read_body(
                request,
                max_bytes=self._max_bytes,
                timeout_s=_BODY_S,
                deadline=Deadline(_BODY_S),
                account=lambda _: None,
                rate=LeastRate(_BYTES_PER_S, _GRACE_S, asyncio.get_running_loop().time()),
            )
            return await asyncio.to_thread(self._take_all, body, boundary)
        finally:
            self._uploads -= 1

    def _take_all(self, body: bytes, boundary: bytes) -> list[Answer]:
        files: list[bytes] = []
        for part in parts(body, boundary):
            if len(files) == _MOST_PARTS:
                raise InputTooLarge(f"a body may have at most {_MOST_PARTS} instances")
            files.append(part.data)
        if not files:
            raise MalformedForm("the body has no part")
        return [self._intake.take(file, None) for file in files]


def build_app(
    store: Store,
    metrics: GatewayMetrics,
    refresh: Callable[[], None],
    is_ready: Callable[[], bool],
) -> Starlette:
    """Return the application.

    Args:
        store: endpoint of STOW-RS.
        metrics: metrics of the gateway.
        refresh: updates the metrics of the journal. Blocks.
        is_ready: tells whether instances can be taken. Blocks.
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if await asyncio.to_thread(is_ready):
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unavailable"}, 503)

    async def scrape(_: Request) -> Response:
        await asyncio.to_thread(refresh)
        text, media_type = metrics.render()
        return Response(text, headers={"content-type": media_type, "cache-control": "no-store"})

    app = Starlette(
        routes=[
            Route("/studies", store.__call__, methods=["POST"]),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", scrape),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would follow the client's Host header
    return app


def _boundary(request: Request) -> bytes:
    """Return the boundary of the body.

    Raises:
        MalformedForm: the body is not multipart/related of DICOM files.
    """
    media_type, options = parse_options(request.headers.get("content-type"))
    inner = options.get(b"type", b"application/dicom").decode("latin-1").lower()
    if media_type != "multipart/related" or inner != "application/dicom":
        raise MalformedForm('send multipart/related; type="application/dicom"')
    return options.get(b"boundary", b"")


def _error(error: Exception) -> Response:
    """Return the answer to a request that cannot be taken; its text quotes nothing."""
    status = next(code for kind, code in _STATUSES.items() if isinstance(error, kind))
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, ServiceError) and status == 503:
        headers["retry-after"] = "5"
    return PlainTextResponse(f"{error}\n", status, headers)


def _answered(answers: Iterable[Answer]) -> Response:
    """Return the data set of a Store Transaction's answer."""
    stored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for answer in answers:
        if answer.instance is None:
            other.append(_element(_REASON, "US", answer.status))
            continue
        names = _element(_CLASS, "UI", answer.instance.sop_class_uid)
        names |= _element(_INSTANCE, "UI", answer.instance.sop_instance_uid)
        if answer.status == SUCCESS:
            stored.append(names)
        else:
            failed.append(names | _element(_REASON, "US", answer.status))
    sequences = ((_REFERENCED, stored), (_FAILED, failed), (_OTHER, other))
    content = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences if items}
    status = 409 if not stored else 202 if failed or other else 200
    return JSONResponse(content, status, media_type=_JSON)


def _element(tag: str, vr: str, value: str | int) -> dict[str, Any]:
    return {tag: {"vr": vr, "Value": [value]}}
