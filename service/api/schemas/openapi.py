"""OpenAPI: what /openapi.json says beyond what the signatures of the routes say.

Bodies are raw bytes or a form and are read by `intake`, so FastAPI cannot see them; they are
described here, with an example of every problem that a route may answer with.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from radiograph import errors
from radiograph.errors import RadiographError
from service import errors as service_errors
from service.api.http.problems import INVALID_PARAMETERS, KINDS, MEDIA_TYPE, Kind
from service.api.schemas import inference

TITLE = "G2D radiograph service"
DESCRIPTION = """
Answers questions about one chest radiograph: findings, structures, boxes, and where a phrase is.

Send the file as the body (`application/dicom`, `image/png`, `image/jpeg`, or
`application/octet-stream`, which is found out from the bytes), or as `file` in a
`multipart/form-data` form, where a `phrase` may travel beside it and so stays out of access logs.

    curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/v1/segment

`Accept: image/png` answers with an overlay instead of JSON. Coordinates are source pixels, origin
top left, x to the right, zero-based, edges half-open. Every error is `application/problem+json`
with a stable `type`. Every path below `/v1` is also served without `/v1`: the current version of
the interface. Not a medical device.
"""

_ID = "5f0c6d5c2f5b4f6f9d1f0e7a3b1c2d4e"
_BINARY = {"type": "string", "format": "binary"}
_DETAILS: dict[type[RadiographError], str] = {
    errors.MalformedInput: "the bytes are not image/png",
    errors.ModelNotFound: "no such model or version is served; served: g2d-cxr/1 (stable)",
    errors.TaskNotOffered: "g2d-cxr/1 does not offer detect",
    service_errors.BodyTimeout: "the body did not arrive in 30 s",
    errors.InputTooLarge: "a body has at most 67108864 bytes",
    errors.UnsupportedEncoding: "a body is not read with a Content-Encoding; send it as it is",
    errors.NoPixelData: "the object holds no image",
    errors.MultiFrameImage: "the object has 12 frames",
    errors.ColourImage: "the image has 3 samples per pixel",
    errors.WrongModality: "the modality is CT",
    errors.UnusablePhrase: "a phrase holds a control character",
    errors.InvalidVersion: "The service is at fault. The request id finds it in the log.",
    service_errors.NotReady: "the models are still loading",
    service_errors.Overloaded: "every place is taken",
    errors.AliasConflict: "the alias points to version 4",
    service_errors.AdminOff: "set G2D_ADMIN_TOKEN to allow changes over HTTP",
    service_errors.NotAuthorised: "send the token as Authorization: Bearer TOKEN",
    service_errors.PreconditionMissing: "send If-Match with the ETag of the alias",
    service_errors.VersionRefused: "g2d-cxr/5: golden outputs: `findings.logits` differs by 0.2",
    service_errors.RepositoryUnwritable: "aliases cannot be written here: Read-only file system",
    service_errors.DeadlineExceeded: "the deadline passed before the answer was ready",
    service_errors.JobsUnavailable: "the database of jobs does not answer",
    service_errors.StorageFull: "the disk has no room for this job; send it later",
    service_errors.JobNotFound: "there is no such job; finished ones are removed after a while",
    service_errors.ResultNotFound: "the job has no radiograph of this number",
    service_errors.ResultNotReady: "this radiograph is not answered yet",
    service_errors.KeyReused: "the Idempotency-Key came with another request before",
    service_errors.ListingOff: "jobs are listed by Idempotency-Key alone (G2D_JOBS_LIST)",
}
_NOT_ACCEPTABLE = Kind(406, "not-acceptable", "Not Acceptable")
_HEADERS: dict[str, Any] = {
    "X-Request-Id": "The client's, when it was sane, or a new one.",
    "Server-Timing": "Milliseconds by stage.",
    "X-Model-Version": "Name and number of the version that answered.",
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
    """Responses by status, with one example for each kind of problem."""
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
PROBLEMS_OF_READINESS = problems_of(errors.InvalidVersion, service_errors.NotReady)
PROBLEMS_OF_ALIASES = problems_of(
    errors.ModelNotFound, errors.InvalidVersion, service_errors.VersionRefused
)
_CHANGE = (
    service_errors.AdminOff,
    service_errors.NotAuthorised,
    errors.ModelNotFound,
    errors.InvalidVersion,
)
_BODY = (service_errors.BodyTimeout, errors.InputTooLarge, errors.UnsupportedEncoding)
_MATCHED = (
    service_errors.PreconditionMissing,
    errors.AliasConflict,
    service_errors.VersionRefused,
    service_errors.RepositoryUnwritable,
)
_PROBLEMS_OF_TASKS = problems_of(
    errors.MalformedInput,
    errors.ModelNotFound,
    errors.TaskNotOffered,
    service_errors.BodyTimeout,
    errors.InputTooLarge,
    errors.UnsupportedEncoding,
    errors.NoPixelData,
    errors.MultiFrameImage,
    errors.ColourImage,
    errors.WrongModality,
    errors.UnusablePhrase,
    errors.InvalidVersion,
    service_errors.NotReady,
    service_errors.Overloaded,
    service_errors.DeadlineExceeded,
    parameters="query.versoin: Extra inputs are not permitted",
    accept="an answer is one of application/json, image/png",
)


def change(body: type[BaseModel] | None, *, matched: bool) -> dict[str, Any]:
    """What a route of administration says of itself.

    Args:
        body: the shape of what is sent, None for nothing.
        matched: whether it needs a precondition.
    """
    raised = (*_CHANGE, *(_BODY if body else ()), *(_MATCHED if matched else ()))
    others = {"parameters": "body.version: Field required"} if body else {}
    extra: dict[str, Any] = {"security": [{"token": []}]}
    if body is not None:
        shape = body.model_json_schema()
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": shape}},
        }
    if matched:
        extra["parameters"] = [
            _header("If-Match", "The ETag of the alias; or send `If-None-Match: *`.", '"3"')
        ]
    return {"responses": problems_of(*raised, **others), "openapi_extra": extra}


def install(app: FastAPI) -> None:
    """Make an application state its problems as well."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # as FastAPI's manual does


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    problem = inference.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = document["components"]["schemas"]
    components |= problem.pop("$defs", {})
    components["Problem"] = problem
    bearer = {"type": "http", "scheme": "bearer", "description": "G2D_ADMIN_TOKEN"}
    document["components"]["securitySchemes"] = {"token": bearer}
    return document


def task(answer: type[BaseModel], *, phrases: bool = False) -> dict[str, Any]:
    """Keyword arguments of a route that answers a question about a radiograph."""
    found = {
        "model": answer,
        "description": "The answer: JSON, or with `Accept: image/png` an overlay of the size of "
        "the source, reduced where a side is longer than 2048 px.",
        "content": {"image/png": {"schema": _BINARY}},
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        },
    }
    return {
        "response_model": None,
        "responses": {200: found, **_PROBLEMS_OF_TASKS},
        "openapi_extra": {"requestBody": _body(phrases=phrases), "parameters": _parameters()},
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
        "examples": {"browser": {"summary": "A form of a browser", "value": example}},
    }
    return {"required": True, "content": content}


_FILES = {
    "application/dicom": ("A CR or DX image, Part 10 file", "chest.dcm"),
    "image/png": ("A gray PNG of 8 or 16 bits", "chest.png"),
    "image/jpeg": ("A gray JPEG", "chest.jpg"),
    "application/octet-stream": ("Any of these, found out from the bytes", "chest"),
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


def _parameters() -> list[dict[str, Any]]:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    return [
        _header("X-Request-Id", "Letters, digits, `.`, `_`, `-`, up to 64; echoed.", _ID),
        _header("X-Request-Timeout", "Seconds that the client waits; later is 504.", "5"),
        _header("traceparent", "W3C Trace Context; continued or echoed, and logged.", trace),
    ]
