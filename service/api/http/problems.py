"""Problems: every error as RFC 9457 `application/problem+json`, and its HTTP status.

    RadiographError, HTTPException, RequestValidationError, anything else -> problem

The only place that knows HTTP status. `type` is stable, so that a client may branch on it;
`detail` is for people and never holds patient data or a phrase.
"""

import http
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from radiograph import errors
from radiograph.errors import RadiographError
from service import errors as service_errors
from service.api.http.request_context import Context, context_of
from service.observability.logs import where

logger = logging.getLogger("g2d.problems")

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:g2d:problem:"
RETRY_AFTER_S = 1
CLIENT_CLOSED_REQUEST = 499
"""Not in RFC 9110, but what logs call a client that left; it is never received."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its status, the end of its `type` and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The URI that names this kind, for ever."""
        return TYPE_PREFIX + self.slug


INTERNAL = Kind(500, "internal-error", "The service failed")
INVALID_PARAMETERS = Kind(422, "invalid-parameters", "A parameter is not valid")
NOT_READY = Kind(503, "not-ready", "The model is not ready")

KINDS: dict[type[RadiographError], Kind] = {
    errors.RadiographError: INTERNAL,
    errors.InputError: Kind(400, "bad-input", "The input is at fault"),
    errors.MalformedInput: Kind(400, "malformed-input", "The bytes are not what they claim to be"),
    errors.InputTooLarge: Kind(
        413, "input-too-large", "More bytes or pixels than the limits allow"
    ),
    errors.UnsupportedEncoding: Kind(
        415, "unsupported-encoding", "A media type or transfer syntax that is not read"
    ),
    errors.UnusableImage: Kind(422, "unusable-image", "Not one grayscale radiograph"),
    errors.NoPixelData: Kind(422, "no-pixel-data", "The object holds no image"),
    errors.MultiFrameImage: Kind(422, "multi-frame-image", "More than one frame"),
    errors.ColourImage: Kind(422, "colour-image", "More than one sample per pixel"),
    errors.WrongModality: Kind(422, "wrong-modality", "Not a projection radiograph"),
    errors.UnusablePhrase: Kind(422, "unusable-phrase", "The phrase cannot be used"),
    errors.ModelError: INTERNAL,
    errors.ModelNotFound: Kind(404, "model-not-found", "No such model, version or alias"),
    errors.TaskNotOffered: Kind(404, "task-not-offered", "The version does not offer the task"),
    errors.InvalidVersion: Kind(500, "invalid-version", "The model gave no valid answer"),
    errors.PublishRefused: Kind(409, "publish-refused", "A gate failed; nothing was published"),
    errors.AliasConflict: Kind(412, "alias-conflict", "The alias moved since it was read"),
    service_errors.ServiceError: INTERNAL,
    service_errors.InvalidSettings: INTERNAL,
    service_errors.NotReady: NOT_READY,
    service_errors.Overloaded: Kind(503, "overloaded", "Every place is taken"),
    service_errors.BodyTimeout: Kind(408, "body-timeout", "The body arrives too slowly"),
    service_errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "The deadline passed"),
    service_errors.ClientGone: Kind(CLIENT_CLOSED_REQUEST, "client-gone", "The client has gone"),
    service_errors.AdminOff: Kind(403, "admin-off", "Nothing can be changed over HTTP here"),
    service_errors.NotAuthorised: Kind(401, "not-authorised", "The token is missing or wrong"),
    service_errors.PreconditionMissing: Kind(
        428, "precondition-missing", "A change must say what it is a change of"
    ),
    service_errors.VersionRefused: Kind(409, "version-refused", "The version does not hold"),
    service_errors.RepositoryUnwritable: Kind(
        409, "repository-unwritable", "The models directory cannot be written"
    ),
    service_errors.ProviderUnavailable: INTERNAL,
    service_errors.DecoderFailure: INTERNAL,
    service_errors.BackendFailure: Kind(500, "backend-failure", "The model failed while it ran"),
    service_errors.BackendUnavailable: Kind(
        503, "backend-unavailable", "What computes cannot be reached"
    ),
    service_errors.JobError: INTERNAL,
    service_errors.JobsUnavailable: Kind(503, "jobs-unavailable", "Jobs are not taken now"),
    service_errors.StorageFull: Kind(507, "storage-full", "No room to keep the request"),
    service_errors.JobNotFound: Kind(404, "job-not-found", "No such job"),
    service_errors.ResultNotFound: Kind(404, "result-not-found", "The job has no such answer"),
    service_errors.ResultNotReady: Kind(409, "result-not-ready", "The answer is not there yet"),
    service_errors.KeyReused: Kind(422, "idempotency-key-reused", "The key is of another request"),
    service_errors.ListingOff: Kind(403, "listing-off", "Jobs are not listed"),
    service_errors.Interrupted: Kind(500, "interrupted", "The service ended while it worked"),
}


def install(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""
    app.add_exception_handler(RadiographError, _on_radiograph_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


def kind_of(error: RadiographError) -> Kind:
    """The kind of an error: that of its class, or of the nearest class above it."""
    return next(KINDS[parent] for parent in type(error).__mro__ if parent in KINDS)


def describe(error: RadiographError) -> dict[str, Any]:
    """An error as the problem of one item of a job, fit to be kept and shown."""
    kind = kind_of(error)
    detail = str(error) if kind.status != 500 else "The service is at fault, not the radiograph."
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}


def respond(
    context: Context,
    kind: Kind,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem as a response."""
    context.problem = kind.slug
    body = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": context.request_id,
        **members,
    }
    extra = dict(headers or {})
    if kind.status in (429, 503):
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    if kind.status == 401:
        extra.setdefault("WWW-Authenticate", "Bearer")
    return Response(to_json(body), kind.status, extra, MEDIA_TYPE)


def unexpected(context: Context, error: BaseException) -> Response:
    """Answer an error that nobody raised on purpose.

    The log says where it happened, but not its message: that may quote the input.
    """
    logger.error(
        "unexpected %s",
        type(error).__name__,
        extra={"fields": {**context.log_fields(), "where": where(error)}},
    )
    return respond(context, INTERNAL, "An unexpected error. The request id finds it in the log.")


async def _on_radiograph_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RadiographError):
        raise error
    context = context_of(request.scope)
    kind = kind_of(error)
    if isinstance(error, service_errors.Overloaded):
        later = {"Retry-After": str(error.retry_after_s)}
        return respond(context, kind, str(error), later)
    if kind.status != 500:
        return respond(context, kind, str(error))
    logger.error("%s: %s", type(error).__name__, error, extra={"fields": context.log_fields()})
    return respond(context, kind, "The service is at fault. The request id finds it in the log.")


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    phrase = http.HTTPStatus(error.status_code).phrase
    kind = Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    detail = str(error.detail) if error.detail != phrase else _DETAILS.get(kind.status, phrase)
    return respond(context_of(request.scope), kind, detail, error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {"where": ".".join(str(part) for part in item["loc"])[:80], "message": item["msg"]}
        for item in error.errors()
    ]
    detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults[:5])
    return respond(context_of(request.scope), INVALID_PARAMETERS, detail, errors=faults[:20])


_DETAILS = {
    404: "There is nothing at this address; /docs lists what there is.",
    405: "This address does not take that method; the header `Allow` lists those it takes.",
}
