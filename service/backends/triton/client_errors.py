"""Errors of Triton's client, translated into errors of the service."""

from geventhttpclient.response import HTTPConnectionClosed
from tritonclient.utils import InferenceServerException

from radiograph.errors import InvalidVersion
from service.backends.triton.server import ConnectionLost
from service.errors import BackendFailure, BackendUnavailable, NotReady, ServiceError

_TIMED_OUT = {"DEADLINE_EXCEEDED", "499", "504"}
_BUSY = {"RESOURCE_EXHAUSTED", "429"}
_UNREACHABLE = {"UNAVAILABLE", "CANCELLED", "502", "503"}
_MAX_REASON = 300


class LoadingNotAllowed(BackendFailure):
    """Triton manages its models itself, so clients can neither load nor unload them."""


def translate(error: Exception) -> ServiceError:
    """Return the service's error for an error of the client.

    The client's own text may contain addresses, so it is not part of the message.
    """
    if isinstance(error, TimeoutError):
        return BackendUnavailable("Triton did not answer in time")
    if isinstance(error, (OSError, HTTPConnectionClosed)):
        return ConnectionLost("Triton cannot be reached")
    if not isinstance(error, InferenceServerException):
        return BackendFailure(f"Triton's answer cannot be read: {type(error).__name__}")
    status = str(error.status() or "").removeprefix("StatusCode.")
    text = str(error.message())
    if "explicit model load / unload is not allowed" in text:
        return LoadingNotAllowed("Triton does not load models on request")
    if "unknown model" in text or "not at ready state" in text:
        return ConnectionLost("Triton does not have the model")
    if "shared memory region" in text and "find" in text:
        return ConnectionLost("Triton does not know the shared memory region")
    if status in _TIMED_OUT or "timeout" in text.lower():
        return BackendUnavailable("Triton did not answer in time")
    if status in _BUSY or "maximum queue size" in text:
        return BackendUnavailable("Triton has too many requests")
    if status in _UNREACHABLE:
        return ConnectionLost("Triton cannot be reached")
    return BackendFailure(f"Triton failed: {status or type(error).__name__}")


def translate_load(model: str, error: BackendFailure) -> NotReady | InvalidVersion:
    """Return the error for a model that Triton did not load, from the client's own text."""
    reason = str(error.__cause__)
    if "failed to poll" in reason or "not found in any" in reason:
        return NotReady(f"Triton's repository does not hold {model}")
    first_line = reason.partition("\n")[0][:_MAX_REASON]
    return InvalidVersion(f"Triton cannot load {model}: {first_line}")
