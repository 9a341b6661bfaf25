"""Inside of the trial process: load one version as the service would, and say how it went.

    TrialRequest on standard input --VersionLoader--> TrialReply on standard output

The process ends with the service, even after kill -9. Its memory and its CPU time are limited
before the first byte of the version is read. CPU time, unlike time, does not depend on what else
the machine does.
"""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Iterator

from radiograph.errors import ModelError
from radiograph.repository.repository import Repository
from service import process_limits
from service.backends.factory import backend_factory
from service.registry.loading.loader import VersionLoader
from service.registry.loading.trial import TrialReply, TrialRequest
from service.settings import Settings

_NICENESS = 5  # requests that are being answered go first
_PR_SET_PDEATHSIG = 1
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory", "failed to allocate")
"""Parts of the messages with which ONNX Runtime reports that an allocation failed."""
_TOO_MANY_FILES = os.strerror(errno.EMFILE)
"""Part of the message of an error of the system, and of ONNX Runtime, which quotes it."""


def main() -> None:
    """Read the request, load the version, and write the reply."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    process_limits.forbid_core_files()
    answers = _silence()
    request = TrialRequest.model_validate_json(sys.stdin.buffer.read())
    os.write(answers, _reply(request).model_dump_json().encode())
    os._exit(0)  # the runtime may wait for its threads


def _silence() -> int:
    """Return the descriptor of the answer; all other output is discarded."""
    answers, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return answers


def _reply(request: TrialRequest) -> TrialReply:
    """Load the version within the limit of memory."""
    settings = Settings.of(**request.options, workers=1, max_batch=1)
    loader = VersionLoader(
        Repository(request.models_dir),
        backend_factory(settings),
        settings.limits,
        variant=settings.runtime.variant,
    )
    process_limits.limit_memory(request.memory_bytes)
    process_limits.limit_open_files(request.open_files)
    process_limits.limit_cpu(request.cpu_s)
    try:
        loader.load(request.name, request.version)
    except Exception as error:  # noqa: BLE001 - reported to the service
        return _refusal(request, error)
    return TrialReply(outcome="passed")


def _refusal(request: TrialRequest, error: Exception) -> TrialReply:
    """Return the reply for an error; the message of an unexpected one is not passed on."""
    if _is_for_memory(error):
        return TrialReply(outcome="memory")
    if any(_TOO_MANY_FILES in str(cause) for cause in _causes(error)):
        return TrialReply(outcome="files")
    if isinstance(error, ModelError):
        return TrialReply(outcome="refused", error=type(error).__name__, message=str(error))
    message = f"{request.name}/{request.version}: unexpected {type(error).__name__}"
    return TrialReply(outcome="refused", error="UnloadableVersion", message=message)


def _is_for_memory(error: Exception) -> bool:
    """Return whether an allocation that failed is among the causes of an error."""
    return any(
        isinstance(cause, MemoryError) or any(part in str(cause) for part in _NO_MEMORY)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    main()
