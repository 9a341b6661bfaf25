"""Problem details of the service, as the errors that it met."""

import re
from collections.abc import Callable

import httpx

from g2d.errors import Problem
from radiograph import errors
from radiograph.errors import InputError, RadiographError
from service import errors as service_errors
from service.errors import NotAuthorised, RetryLater, ServiceError

TYPE_PREFIX = "urn:g2d:problem:"
_OTHER_NAMES = {"bad-input": InputError, "idempotency-key-reused": service_errors.KeyReused}
"""Types of problems that are not named after the class of their error."""
_LONGEST = 1000


def error_of(response: httpx.Response, retry_after_s: float | None) -> RadiographError:
    """Return the error of a response that is no success; its cause is the `Problem`.

    Args:
        response: the response, whose body was read.
        retry_after_s: seconds after which the service asks to try again, or None.
    """
    problem = _problem(response)
    message = problem.detail or problem.title
    error = _error(problem, message, retry_after_s)
    error.__cause__ = problem
    return error


def _error(problem: Problem, message: str, retry_after_s: float | None) -> RadiographError:
    kind = _CLASSES.get(problem.type.removeprefix(TYPE_PREFIX))
    if kind is None:
        refused = 400 <= problem.status < 500
        return InputError(message) if refused else ServiceError(message)
    if issubclass(kind, RetryLater):
        return kind(message, round(retry_after_s or 0))
    if issubclass(kind, NotAuthorised):
        return kind(message, problem.type)
    make: Callable[[str], RadiographError] = kind
    return make(message)


def _problem(response: httpx.Response) -> Problem:
    """Read the problem details; those of a proxy, which has others, are its status alone."""
    try:
        members = response.json()
    except ValueError:
        members = None
    texts = members if isinstance(members, dict) else {}

    def text(name: str, default: str = "") -> str:
        value = texts.get(name, default)
        return value[:_LONGEST] if isinstance(value, str) else default

    title = text("title", f"HTTP status {response.status_code}")
    identifier = response.headers.get("X-Request-Id", "")
    return Problem(
        response.status_code, text("type", "about:blank"), title, text("detail"), identifier
    )


def _named() -> dict[str, type[RadiographError]]:
    """Return every error by the name that its problem has, such as `unusable-image`."""
    classes = [*vars(errors).values(), *vars(service_errors).values()]
    return {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "-", found.__name__).lower(): found
        for found in classes
        if isinstance(found, type) and issubclass(found, RadiographError)
    }


_CLASSES: dict[str, type[RadiographError]] = _named() | _OTHER_NAMES
