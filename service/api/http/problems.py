"""Errors as RFC 9457 problem details, `application/problem+json`, and their HTTP status.

    RadiographError, HTTPException, RequestValidationError, anything else -> problem

This is the only module that knows HTTP status codes of errors. `type` is stable, so that clients
may branch on it; `detail` is for people, and never contains patient data or a phrase.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from radiograph import errors
from radiograph.errors import RadiographError
from service import errors as service_errors
from service.api.http.request_context import RequestContext, context_of
from service.observability.logs import where

logger = logging.getLogger("g2d.problems")

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:g2d:problem:"
RETRY_AFTER_S = 1
CLIENT_CLOSED_REQUEST = 499
"""Status that is logged for a client that disconnected (not in RFC 9110); nobody receives it."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Attributes:
        status: HTTP status code.
        slug: last part of `type`. Kinds that clients need not tell apart may share one.
        title: short summary for people.
    """

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """URI of this kind; it never changes."""
        return TYPE_PREFIX + self.slug


MALFORMED = Kind(400, "malformed-input", "The input is malformed")
INTERNAL = Kind(500, "internal-error", "The service failed")
INVALID_PARAMETERS = Kind(422, "invalid-parameters", "A parameter is not valid")
NOT_READY = Kind(503, "not-ready", "The model is not ready")
BAD_REQUEST = Kind(400, "bad-request", "Not a valid HTTP request")
REQUEST_TIMEOUT = Kind(408, "request-timeout", "The request arrived too slowly")
URI_TOO_LONG = Kind(414, "uri-too-long", "The request line is too long")
HEADERS_TOO_LARGE = Kind(
    431, "request-header-fields-too-large", "The headers of the request are too large"
)

KINDS: dict[type[RadiographError], Kind] = {
    errors.RadiographError: INTERNAL,
    errors.InputError: Kind(400, "bad-input", "Unusable input"),
    errors.MalformedInput: MALFORMED,
    errors.EmptyInput: replace(MALFORMED, title="The file or body is empty"),
    errors.MalformedForm: replace(MALFORMED, title="The form or multipart body is not valid"),
    errors.MediaTypeMismatch: replace(
        MALFORMED, title="The bytes do not match their declared type"
    ),
    errors.UndecodablePixels: replace(MALFORMED, title="The pixel data cannot be decoded"),
    errors.InputTooLarge: Kind(413, "input-too-large", "More bytes or pixels than allowed"),
    errors.InputTooCostly: Kind(413, "input-too-costly", "Decoding the image would take too long"),
    errors.UnsupportedEncoding: Kind(
        415, "unsupported-encoding", "Unsupported media type or transfer syntax"
    ),
    errors.UnusableImage: Kind(422, "unusable-image", "Not a single grayscale radiograph"),
    errors.NoPixelData: Kind(422, "no-pixel-data", "The object has no pixel data"),
    errors.MultiFrameImage: Kind(422, "multi-frame-image", "More than one frame"),
    errors.ColourImage: Kind(422, "colour-image", "The image is in colour"),
    errors.WrongModality: Kind(422, "wrong-modality", "Not a projection radiograph"),
    errors.UnusablePhrase: Kind(422, "unusable-phrase", "The phrase cannot be used"),
    errors.ModelError: INTERNAL,
    errors.ModelNotFound: Kind(404, "model-not-found", "No such model, version or alias"),
    errors.TaskNotOffered: Kind(404, "task-not-offered", "The version does not support the task"),
    errors.InvalidVersion: Kind(500, "invalid-version", "The model gave invalid output"),
    errors.AlteredVersion: Kind(500, "altered-version", "The model was altered"),
    errors.UnsignedVersion: Kind(500, "unsigned-version", "The model is not signed"),
    errors.UnloadableVersion: Kind(500, "unloadable-version", "The model cannot be loaded"),
    errors.PublishRefused: Kind(409, "publish-refused", "A gate failed; nothing was published"),
    errors.UnusableKey: INTERNAL,
    errors.StoreConflict: Kind(409, "store-conflict", "The store was changed by another writer"),
    errors.StoreUnavailable: Kind(
        503, "store-unavailable", "The store of the models cannot be used"
    ),
    errors.AliasConflict: Kind(412, "alias-conflict", "The alias has changed since it was read"),
    service_errors.ServiceError: INTERNAL,
    service_errors.InvalidSettings: INTERNAL,
    service_errors.InvalidKeyFile: INTERNAL,
    service_errors.NotReady: NOT_READY,
    service_errors.RetryLater: INTERNAL,
    service_errors.Overloaded: Kind(503, "overloaded", "Too many requests in progress"),
    service_errors.TooManyRequests: Kind(
        429, "too-many-requests", "This client sends too many requests"
    ),
    service_errors.IdentityProviderUnavailable: Kind(
        503, "identity-provider-unavailable", "The identity provider does not answer"
    ),
    service_errors.BodyTimeout: Kind(408, "body-timeout", "The body arrived too slowly"),
    service_errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "The deadline passed"),
    service_errors.ClientGone: Kind(
        CLIENT_CLOSED_REQUEST, "client-gone", "The client disconnected"
    ),
    service_errors.AdminOff: Kind(403, "admin-off", "Administration over HTTP is disabled"),
    service_errors.NotAuthorised: Kind(401, "not-authorised", "The token is missing or wrong"),
    service_errors.ScopeMissing: Kind(403, "scope-missing", "The token does not allow this"),
    service_errors.PreconditionMissing: Kind(
        428, "precondition-missing", "A precondition header is required"
    ),
    service_errors.VersionRefused: Kind(409, "version-refused", "The version failed verification"),
    service_errors.RepositoryUnwritable: Kind(
        409, "repository-unwritable", "The models directory cannot be written"
    ),
    service_errors.ProviderUnavailable: INTERNAL,
    service_errors.DecoderFailure: INTERNAL,
    service_errors.DecodersLost: replace(MALFORMED, title="The file stops the decoder"),
    service_errors.NoDicomObject: Kind(
        406, "no-dicom-object", "No DICOM object can be made of the result"
    ),
    service_errors.BackendFailure: Kind(
        500, "backend-failure", "The model failed during inference"
    ),
    service_errors.BackendUnavailable: Kind(
        503, "backend-unavailable", "The inference backend cannot be reached"
    ),
    service_errors.AuditUnavailable: Kind(
        503, "audit-unavailable", "The audit log cannot be written"
    ),
    service_errors.AuditAltered: INTERNAL,
    service_errors.ArchiveUnavailable: Kind(
        503, "archive-unavailable", "The DICOMweb server does not answer as it should"
    ),
    service_errors.InstanceNotFound: Kind(
        404, "instance-not-found", "The DICOMweb server has no such object"
    ),
    service_errors.JobError: INTERNAL,
    service_errors.JobsUnavailable: Kind(503, "jobs-unavailable", "Jobs are unavailable"),
    service_errors.StorageFull: Kind(507, "storage-full", "Not enough disk space"),
    service_errors.JobNotFound: Kind(404, "job-not-found", "No such job"),
    service_errors.ResultNotFound: Kind(404, "result-not-found", "No such result"),
    service_errors.ResultNotReady: Kind(409, "result-not-ready", "The result is not ready yet"),
    service_errors.KeyReused: Kind(
        422, "idempotency-key-reused", "The key was used with another request"
    ),
    service_errors.ListingOff: Kind(403, "listing-off", "Listing of jobs is disabled"),
    service_errors.Interrupted: Kind(
        500, "interrupted", "The service stopped during every attempt"
    ),
}


def install(app: FastAPI) -> None:
    """Make an application answer every error with problem details."""
    app.add_exception_handler(RadiographError, _on_radiograph_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


def kind_of(error: RadiographError) -> Kind:
    """Return the kind of an error: that of its class, or of the nearest base class."""
    return next(KINDS[parent] for parent in type(error).__mro__ if parent in KINDS)


def describe_error(error: RadiographError) -> dict[str, Any]:
    """Return the problem details that are stored and shown for one item of a job."""
    kind = kind_of(error)
    detail = (
        str(error) if kind.status != 500 else "An internal error; the radiograph is not at fault."
    )
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}


def outcome_of(error: Exception) -> tuple[int, str]:
    """Return the HTTP status and the type of the problem that an error is answered with."""
    if isinstance(error, RadiographError):
        kind = kind_of(error)
    elif isinstance(error, RequestValidationError):
        kind = INVALID_PARAMETERS
    elif isinstance(error, HTTPException):
        kind = _kind_of_status(error.status_code)
    else:
        kind = INTERNAL
    return kind.status, kind.type


def respond(
    context: RequestContext,
    kind: Kind,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return a problem as a response.

    Args:
        context: context of the request.
        kind: kind of the problem.
        detail: explanation for people.
        headers: further response headers.
        members: further members of the problem details.
    """
    context.problem = kind.slug
    body = members_of(kind, detail, context.request_id) | members
    extra = dict(headers or {})
    if kind.status in (429, 503):
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    if kind.status == 401:
        extra.setdefault("WWW-Authenticate", "Bearer")
    return Response(to_json(body), kind.status, extra, MEDIA_TYPE)


def members_of(kind: Kind, detail: str, request_id: str) -> dict[str, Any]:
    """Return the members that every problem has."""
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": request_id,
    }


def unexpected(context: RequestContext, error: BaseException) -> Response:
    """Answer an error that is not one of ours.

    The log has its type and place, but not its message, which may quote the input.
    """
    logger.error(
        "unexpected %s",
        type(error).__name__,
        extra={"fields": {**context.log_fields(), "where": where(error)}},
    )
    return respond(context, INTERNAL, "An unexpected error. Search the log for the request id.")


def cut_short(context: RequestContext, error: Exception) -> None:
    """Note an error that ended a response in the middle; only an unexpected one is logged."""
    cause = error.__cause__ if isinstance(error.__cause__, RadiographError) else error
    if isinstance(cause, RadiographError) and kind_of(cause).status != 500:
        context.problem = kind_of(cause).slug
    else:
        unexpected(context, error)


async def _on_radiograph_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RadiographError):
        raise error
    context = context_of(request.scope)
    kind = kind_of(error)
    if isinstance(error, service_errors.RetryLater):
        headers = {"Retry-After": str(error.retry_after_s)}
        return respond(context, kind, str(error), headers)
    if kind.status != 500:
        return respond(context, kind, str(error))
    logger.error("%s: %s", type(error).__name__, error, extra={"fields": context.log_fields()})
    return respond(context, kind, "An internal error. Search the log for the request id.")


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    kind = _kind_of_status(error.status_code)
    phrase = kind.title
    detail = str(error.detail) if error.detail != phrase else _DETAILS.get(kind.status, phrase)
    headers = error.headers
    if kind.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), "Allow": ", ".join(_allowed_methods(request))}
    return respond(context_of(request.scope), kind, detail, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return every method that a path supports, over all routes that match it.

    The framework names the methods of the first of them only. HEAD is answered wherever GET is.
    """
    path = {"type": "http", "path": request.scope["path"], "headers": []}
    path["root_path"] = request.scope.get("root_path", "")
    allowed = [
        method.value
        for method in HTTPMethod
        if any(
            route.matches({**path, "method": method.value})[0] is Match.FULL
            for route in request.app.router.routes
        )
    ]
    return sorted({*allowed, "HEAD"} if "GET" in allowed else allowed)


def _kind_of_status(status: int) -> Kind:
    phrase = HTTPStatus(status).phrase
    return Kind(status, phrase.lower().replace(" ", "-"), phrase)


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
    404: "No resource has this path; see /docs.",
    405: "This path does not support the method; see the header `Allow`.",
}
