"""Errors of the Python API: those of a model in this process, and what a client adds.

    RadiographError
    ├── InputError               the radiograph or a phrase is at fault
    ├── ModelError               a version is at fault or does not exist
    └── ServiceError             the question was right, but answering it failed
        ├── RetryLater               too many requests, even after the retries of the client
        └── ServiceUnreachable       no answer came

A client raises the error that the service met, by the `type` of its problem details, so that the
same `except` serves a model here and a service. The cause of such an error is the `Problem`.
"""

from radiograph.errors import (
    InputError,
    ModelError,
    ModelNotFound,
    RadiographError,
    TaskNotOffered,
    UnusableImage,
    UnusablePhrase,
)
from service.errors import NotAuthorised, RetryLater, ScopeMissing, ServiceError

__all__ = [
    "InputError",
    "ModelError",
    "ModelNotFound",
    "NotAuthorised",
    "Problem",
    "RadiographError",
    "RetryLater",
    "ScopeMissing",
    "ServiceError",
    "ServiceUnreachable",
    "TaskNotOffered",
    "UnusableImage",
    "UnusablePhrase",
]


class ServiceUnreachable(ServiceError):
    """No answer came: no connection, a connection that broke, or a timeout."""


class Problem(Exception):
    """A problem as the service described it; the cause of an error that a client raises.

    Attributes:
        status: HTTP status code.
        type: stable identifier, `urn:g2d:problem:...`; `about:blank` if the answer has none.
        title: short summary for people.
        detail: explanation for people; may be empty.
        request_id: identifies the request in the logs of the service; may be empty.
    """

    def __init__(self, status: int, type_: str, title: str, detail: str, request_id: str) -> None:
        super().__init__(f"{status} {type_}: {detail or title} (request {request_id or 'unknown'})")
        self.status = status
        self.type = type_
        self.title = title
        self.detail = detail
        self.request_id = request_id
