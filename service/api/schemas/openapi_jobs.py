"""Additions to /openapi.json for jobs: bodies and problems beyond the signatures of the routes."""

from typing import Any

from radiograph import errors
from service import errors as service_errors
from service.api.http.query import described
from service.api.schemas import inference, jobs
from service.api.schemas.openapi import NOT_ACCEPTED, PICTURES, problems_of
from service.dicomweb.references import ReferencedRadiographs

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
    "returns the same job; another request with the same key is refused. Keys of different owners "
    "never meet.",
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


def _references() -> dict[str, Any]:
    """Return the schema of a job by reference, whose references are described in place."""
    schema = ReferencedRadiographs.model_json_schema()
    definitions = schema.pop("$defs")
    items = schema["properties"]["references"]["items"]
    items["anyOf"] = [definitions["Reference"], {"type": "string", "format": "uri"}]
    return schema


_BODIES["application/json"] = _content(
    _references(),
    "Studies, series and instances of a configured DICOMweb server",
    {"references": [{"server": "pacs", "study": "1.2.840.99.1"}], "phrases": ["left lung"]},
)

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
            service_errors.NoDicomObject,
            service_errors.NotReady,
            service_errors.Overloaded,
            service_errors.StorageFull,
            service_errors.ArchiveUnavailable,
            service_errors.InstanceNotFound,
            parameters="query.versoin: Extra inputs are not permitted",
        ),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": _BODIES},
        "parameters": [*described(jobs.JobParameters), _KEY],
    },
}
RESULTS: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {
            "model": jobs.JobResults,
            "description": "JSON, with `Accept: application/x-ndjson` one item per line, or with "
            "`application/zip` the DICOM objects that were kept, in a folder for each item.",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/zip": {"schema": _BINARY},
            },
        },
        **problems_of(
            *_ANY,
            service_errors.JobNotFound,
            accept="the response can be one of application/json, application/x-ndjson, "
            "application/zip",
            parameters="path.id: ...",
        ),
    },
}
RESULT: dict[str, Any] = {
    "response_model": None,
    "responses": {
        200: {
            "model": inference.AnalyzeAnswer,
            "description": "The result, with an `Accept` of a picture the overlay, or the DICOM "
            "objects that were kept.",
            "content": PICTURES
            | {name: {"schema": _BINARY} for name in ("multipart/related", "application/zip")},
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
