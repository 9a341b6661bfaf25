"""Additions to /openapi.json beyond the signatures of the routes.

Bodies are raw bytes or forms that `service.api.uploads` reads, so that FastAPI does not see them.
They are described here, with an example of every problem that a route may return.
"""

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from radiograph import errors
from radiograph.errors import RadiographError
from service import errors as service_errors
from service.api.http.problems import INVALID_PARAMETERS, KINDS, MEDIA_TYPE, Kind
from service.api.http.query import described
from service.api.schemas.problems import Problem
from service.dataplane.response_encoding import DICOM
from service.encoders.fhir.document import MEDIA_TYPES as FHIR_TYPES
from service.encoders.picture_formats import FORMATS

TITLE = "G2D radiograph service"
DESCRIPTION = """
Answers queries about one chest radiograph: findings, masks, boxes, and the location of a phrase.

Send the file as the body (`application/dicom`, `image/png`, `image/jpeg`, or
`application/octet-stream` to have its format detected), or as `file` in a `multipart/form-data`
form. A `phrase` in the form, unlike one in the query, stays out of access logs.

    curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/v1/segment

`Accept: image/png`, `image/jpeg` or `image/webp` returns an overlay instead of JSON,
`application/fhir+json` a FHIR Bundle, and `application/dicom` or
`multipart/related; type="application/dicom"` DICOM objects. Coordinates are source pixels:
zero-based, origin at the top left, x to the right, half-open. Every error is
`application/problem+json` with a stable `type`. The paths that take a radiograph are also served
without `/v1`. Not a medical device.
"""

_ID = "5f0c6d5c2f5b4f6f9d1f0e7a3b1c2d4e"
_BINARY = {"type": "string", "format": "binary"}
_DETAILS: dict[type[RadiographError], str] = {
    errors.MalformedInput: "16 bits stored in 8 allocated",
    errors.ModelNotFound: "no such model or version is served; served: g2d-cxr/1 (stable)",
    errors.TaskNotOffered: "g2d-cxr/1 does not offer detect",
    service_errors.BodyTimeout: "the body did not arrive within 30 s",
    errors.InputTooLarge: "a body may have at most 67108864 bytes",
    errors.InputTooCostly: "99 scans of 8000 x 8000 pixels; at most 640000000 are decoded in all",
    errors.UnsupportedEncoding: "Content-Encoding is not supported; send the body uncompressed",
    errors.NoPixelData: "the object holds no image",
    errors.MultiFrameImage: "the object has 12 frames",
    errors.ColourImage: "the image has 3 samples per pixel",
    errors.WrongModality: "the modality is CT",
    errors.UnusablePhrase: "a phrase holds a control character",
    errors.InvalidVersion: "An internal error. Search the log for the request id.",
    service_errors.NotReady: "the models are still loading",
    service_errors.Overloaded: "every place is taken",
    errors.AliasConflict: "the alias points to version 4",
    service_errors.ScopeMissing: "the token does not have the scope `admin`",
    service_errors.IdentityProviderUnavailable: "the keys of the issuer cannot be fetched",
    service_errors.TooManyRequests: "this client sends requests too fast",
    service_errors.AdminOff: "set G2D_ADMIN_TOKEN to allow changes over HTTP",
    service_errors.NotAuthorised: "send a token as Authorization: Bearer TOKEN",
    service_errors.PreconditionMissing: "send If-Match with the ETag of the alias",
    service_errors.VersionRefused: "g2d-cxr/5: golden outputs: `findings.logits` differs by 0.2",
    service_errors.RepositoryUnwritable: "aliases cannot be written here: Read-only file system",
    service_errors.NoDicomObject: "DICOM objects are made for DICOM files only; ask for JSON",
    service_errors.DeadlineExceeded: "the deadline passed before the answer was ready",
    service_errors.AuditUnavailable: "the audit log cannot be written",
    service_errors.JobsUnavailable: "the job database does not answer",
    service_errors.StorageFull: "not enough disk space for this job; retry later",
    service_errors.ArchiveUnavailable: "the DICOMweb server `pacs`: no answer within 60 s",
    service_errors.InstanceNotFound: "the DICOMweb server `pacs` has no such study",
    service_errors.JobNotFound: "there is no such job; finished jobs expire",
    service_errors.ResultNotFound: "the job has no radiograph with this number",
    service_errors.ResultNotReady: "this radiograph is not answered yet",
    service_errors.KeyReused: "the Idempotency-Key was used with another request",
    service_errors.ListingOff: "a client without a credential repeats its request to find its job",
}
PICTURES = {media_type: {"schema": _BINARY} for media_type in FORMATS}
_BUNDLE = {
    "type": "object",
    "description": "A Bundle of DiagnosticReport, Observations and Device.",
    "required": ["resourceType", "type", "entry"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "type": {"const": "collection"},
        "entry": {"type": "array", "items": {"type": "object"}},
    },
}
FORMATTED = PICTURES | {media_type: {"schema": _BUNDLE} for media_type in FHIR_TYPES}
_PIXELS: dict[str, Any] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "description": "The answer with the displayed pixels: `answer` as in JSON; `display` "
            "with `rows`, `columns` and the `window` of the model; `pixels`, 16 bits each, "
            "little-endian, row by row, 0 black.",
            "required": ["answer"],
            "properties": {
                "answer": {"type": "object"},
                "display": {"type": "object"},
                "pixels": _BINARY,
            },
        }
    }
}
_OBJECTS = {media_type: {"schema": _BINARY} for media_type in (DICOM, "multipart/related")}
NOT_ACCEPTED = f"the response can be one of application/json, {', '.join(FORMATS)}"
_NOT_ACCEPTABLE = Kind(406, "not-acceptable", "Not Acceptable")
_HEADERS: dict[str, Any] = {
    "X-Request-Id": "Identifier that the client sent if it was valid, otherwise a new one.",
    "Server-Timing": "Milliseconds by stage.",
    "X-Model-Version": "Name and number of the version that answered.",
    "G2D-Warnings": "Codes of the warnings of the answer, separated by commas, if there are any.",
}


def _example(kind: Kind, detail: str) -> dict[str, Any]:
    value = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": _ID,
    }
    return {kind.slug: {"summary": kind.title, "value": value}}


def problems_of(*raised: type[RadiographError], **others: str) -> dict[int | str, dict[str, Any]]:
    """Return responses by status, with one example for each kind of problem.

    Args:
        raised: errors that a route may raise.
        others: details of problems that are no errors of ours, by key of `_OTHERS`.
    """
    kinds = [(KINDS[error], _DETAILS[error]) for error in raised]
    kinds += [(_OTHERS[name], detail) for name, detail in others.items()]
    responses: dict[int | str, dict[str, Any]] = {}
    for kind, detail in kinds:
        response = responses.setdefault(kind.status, _response())
        response["description"] = kind.title if not response["description"] else "Unusable input"
        response["content"][MEDIA_TYPE]["examples"] |= _example(kind, detail)
    return dict(sorted(responses.items(), key=lambda item: str(item[0])))


def _response() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "", "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}


_OTHERS = {"parameters": INVALID_PARAMETERS, "accept": _NOT_ACCEPTABLE}

PROBLEMS_OF_ANY = problems_of(errors.InvalidVersion)
PROBLEMS_OF_MODELS = problems_of(
    errors.ModelNotFound,
    errors.InvalidVersion,
    service_errors.NotReady,
    parameters="path.name: ...",
)
MARKDOWN = "text/markdown; charset=utf-8"
MODEL_CARD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The model card.",
        "content": {"text/markdown": {"schema": {"type": "string"}}},
    },
    **PROBLEMS_OF_MODELS,
}
PROBLEMS_OF_READINESS = problems_of(
    errors.InvalidVersion, service_errors.NotReady, service_errors.AuditUnavailable
)
PROBLEMS_OF_ALIASES = problems_of(
    errors.ModelNotFound, errors.InvalidVersion, service_errors.VersionRefused
)
_CHANGE = (
    service_errors.AdminOff,
    errors.ModelNotFound,
    errors.InvalidVersion,
    service_errors.AuditUnavailable,
)
_PROBLEMS_OF_TOKENS = problems_of(
    service_errors.NotAuthorised,
    service_errors.ScopeMissing,
    service_errors.TooManyRequests,
    service_errors.IdentityProviderUnavailable,
)
"""Of every route that needs a scope, where the service authenticates its clients."""
_BODY = (service_errors.BodyTimeout, errors.InputTooLarge, errors.UnsupportedEncoding)
_CONDITIONAL = (
    service_errors.PreconditionMissing,
    errors.AliasConflict,
    service_errors.VersionRefused,
    service_errors.RepositoryUnwritable,
    service_errors.StorageFull,
)
_PROBLEMS_OF_TASKS = problems_of(
    errors.MalformedInput,
    errors.ModelNotFound,
    errors.TaskNotOffered,
    service_errors.BodyTimeout,
    errors.InputTooLarge,
    errors.InputTooCostly,
    errors.UnsupportedEncoding,
    errors.NoPixelData,
    errors.MultiFrameImage,
    errors.ColourImage,
    errors.WrongModality,
    errors.UnusablePhrase,
    errors.InvalidVersion,
    service_errors.NotReady,
    service_errors.Overloaded,
    service_errors.AuditUnavailable,
    service_errors.DeadlineExceeded,
    service_errors.NoDicomObject,
    parameters="query.versoin: Extra inputs are not permitted",
    accept=f"the response can be one of application/json, {', '.join(FORMATTED)}",
)


def change(body: type[BaseModel] | None, *, conditional: bool) -> dict[str, Any]:
    """Return the keyword arguments of an administration route that changes something.

    Args:
        body: schema of the body, or None if it has none.
        conditional: the route requires a precondition header.
    """
    raised = (*_CHANGE, *(_BODY if body else ()), *(_CONDITIONAL if conditional else ()))
    others = {"parameters": "body.version: Field required"} if body else {}
    extra: dict[str, Any] = {}
    if body is not None:
        schema = body.model_json_schema()
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if conditional:
        extra["parameters"] = [
            _header(
                "If-Match",
                "ETag of the alias; send `If-None-Match: *` instead to create an alias.",
                '"3"',
            )
        ]
    return {"responses": problems_of(*raised, **others), "openapi_extra": extra}


def install(app: FastAPI) -> None:
    """Make an application describe its problems as well."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # as the FastAPI documentation does


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = document["components"]["schemas"]
    components |= problem.pop("$defs", {})
    components["Problem"] = problem
    for methods in document["paths"].values():
        for operation in methods.values():
            if "security" in operation:
                _add_problems(operation["responses"], _PROBLEMS_OF_TOKENS)
    return document


def _add_problems(responses: dict[str, Any], more: dict[int | str, dict[str, Any]]) -> None:
    """Add problems to the responses of an operation, and keep those with the same status."""
    for status, response in more.items():
        known = responses.setdefault(str(status), copy.deepcopy(response))
        known["content"][MEDIA_TYPE]["examples"] |= response["content"][MEDIA_TYPE]["examples"]


def task(
    answer: type[BaseModel],
    query: type[BaseModel],
    *,
    phrases: bool = False,
    pixels: bool = False,
) -> dict[str, Any]:
    """Return the keyword arguments of a route that answers a query about a radiograph.

    Args:
        answer: schema of the answer.
        query: model of the query parameters.
        phrases: the form may contain phrases.
        pixels: the answer may be a form with the displayed pixels.
    """
    success = {
        "model": answer,
        "description": "The answer as JSON, with an `Accept` of a picture an overlay of the "
        "size of the source, reduced if a side is longer than `overlay_side_px`, with "
        "`application/fhir+json` a Bundle of FHIR R4B (`fhirVersion=4.3`) or R5 (`5.0`), or with "
        '`application/dicom` or `multipart/related; type="application/dicom"` DICOM objects.',
        "content": FORMATTED | _OBJECTS | (_PIXELS if pixels else {}),
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        },
    }
    return {
        "response_model": None,
        "responses": {200: success, **_PROBLEMS_OF_TASKS},
        "openapi_extra": {
            "requestBody": _body(phrases=phrases),
            "parameters": [*described(query), *_headers()],
        },
    }


def _body(*, phrases: bool) -> dict[str, Any]:
    form: dict[str, Any] = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": _BINARY},
        "additionalProperties": False,
    }
    example: dict[str, Any] = {"file": "<bytes of chest.dcm>"}
    if phrases:
        form["properties"]["phrase"] = {"type": "array", "items": {"type": "string"}}
        example["phrase"] = ["left lung"]
    content: dict[str, Any] = {
        media_type: {
            "schema": _BINARY,
            "examples": {"file": {"summary": summary, "value": f"<bytes of {name}>"}},
        }
        for media_type, (summary, name) in _FILES.items()
    }
    content["multipart/form-data"] = {
        "schema": form,
        "examples": {"browser": {"summary": "A form as browsers send it", "value": example}},
    }
    return {"required": True, "content": content}


_FILES = {
    "application/dicom": ("A CR or DX image, Part 10 file", "chest.dcm"),
    "image/png": ("A gray PNG of 8 or 16 bits", "chest.png"),
    "image/jpeg": ("A gray JPEG", "chest.jpg"),
    "application/octet-stream": ("Any of these, detected from the bytes", "chest"),
}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def _headers() -> list[dict[str, Any]]:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    return [
        _header(
            "X-Request-Id",
            "Up to 64 letters, digits, `.`, `_` or `-`; returned in the response.",
            _ID,
        ),
        _header("X-Request-Timeout", "Seconds until the request is given up with 504.", "5"),
        _header("traceparent", "W3C Trace Context; continued or returned, and logged.", trace),
    ]
