"""Additions to /openapi.json for jobs: bodies and problems beyond the signatures of the routes."""

from typing import Any

from radiograph import errors
from service import errors as service_errors
from service.api.schemas import inference, jobs
from service.api.schemas.openapi import NOT_ACCEPTED, PICTURES, problems_of

_BINARY = {"type": "string", "format": "binary"}
_LOCATION = {"description": "URL of the job.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
_STATUS = {
    "model": jobs.JobStatus,
    "headers": {"Location": _LOCATION, "Retry-After": _RETRY_AFTER},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 visible ASCII characters. Repeating a request with the same key "
    "returns the same job; another request with the same key is refused.",
    "schema": {"type": "string"},
    "example": "6f1d1b8e-3c1f-4a44-9a55-1f4d5d0b7a10",
}


def _content(schema: dict[str, Any], summary: str, value: object) -> dict[str, Any]:
    return {"schema": schema, "examples": {"study": {"summary": summary, "value": value}}}


_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": _BINARY},
        "phrase": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
_BODIES = {
    "application/zip": _content(
        _BINARY, "Radiographs in a zip file, in any folders", "<bytes of study.zip>"
    ),
    "multipart/form-data": _content(
        _FORM, "Several files of a form", {"file": ["<bytes of a.dcm>", "<bytes of b.png>"]}
    ),
    "multipart/related": _content(
        _BINARY, "A DICOM study as STOW-RS sends it", "<parts of type application/dicom>"
    ),
}

_ANY = (errors.InvalidVersion, service_errors.JobsUnavailable)
ONE = problems_of(*_ANY, service_errors.JobNotFound, parameters="query.limit: ...")
LIST = problems_of(
    *_ANY,
    errors.MalformedInput,
    service_errors.ListingOff,
    parameters="query.limit: ...",
)
POST: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {
            **_STATUS,
            "description": "The same request was sent before, and its job is finished.",
        },
        202: {**_STATUS, "description": "Accepted; the job survives a restart of the service."},
        **problems_of(
            *_ANY,
            errors.MalformedInput,
            errors.ModelNotFound,
            errors.TaskNotOffered,
            errors.InputTooLarge,
            errors.UnsupportedEncoding,
            errors.UnusablePhrase,
            service_errors.BodyTimeout,
            service_errors.KeyReused,
            service_errors.NotReady,
            service_errors.Overloaded,
            service_errors.StorageFull,
            parameters="query.versoin: Extra inputs are not permitted",
        ),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": _BODIES},
        "parameters": [_KEY],
    },
}
RESULTS: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {
            "model": jobs.JobResults,
            "description": "JSON, or with `Accept: application/x-ndjson` one item per line.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        **problems_of(
            *_ANY,
            service_errors.JobNotFound,
            accept="the response can be one of application/json, application/x-ndjson",
            parameters="path.id: ...",
        ),
    },
}
RESULT: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {
            "model": inference.AnalyzeAnswer,
            "description": "The result, or with an `Accept` of a picture the overlay.",
            "content": PICTURES,
        },
        **problems_of(
            *_ANY,
            service_errors.JobNotFound,
            service_errors.ResultNotFound,
            service_errors.ResultNotReady,
            accept=NOT_ACCEPTED,
            parameters="path.number: ...",
        ),
    },
}
