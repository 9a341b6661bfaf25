"""Trial of a version: load it in a process of its own first, with limits of time and memory.

    service --settings, model, version--> `service.registry.loading.trial_process`
    service <--JSON: passed, or why not---'           killed when its time is over

A graph may loop for ever or ask for any amount of memory, and a call into the runtime cannot be
interrupted. The trial loads a version as the service would, golden outputs included, so that such
a graph costs a process and not the service. A digest that has passed is not tried again.
"""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from radiograph import errors
from radiograph.errors import InvalidVersion, UnloadableVersion
from radiograph.repository.opening import local_folder
from radiograph.strict_model import StrictModel
from service.errors import NotReady
from service.settings import Settings

PROCESS = "service.registry.loading.trial_process"


class TrialRequest(StrictModel):
    """One version to try.

    Attributes:
        options: settings of the runtime by flat name.
        cpu_s: CPU time that the trial may take.
        memory_bytes: memory that the trial may allocate.
        open_files: files that the trial may have open.
    """

    models_dir: Path
    name: str
    version: int
    options: dict[str, str | int]
    cpu_s: int
    memory_bytes: int
    open_files: int


class TrialReply(StrictModel):
    """Outcome of a trial.

    Attributes:
        outcome: `refused` if the version is at fault, `memory` or `files` if it needs more of them
            than allowed.
        error: class of the error, if the version is refused.
        message: why; fit to be shown to clients.
    """

    outcome: Literal["passed", "refused", "memory", "files"]
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class _Ended:
    """A trial process that has ended, or was killed because its time was over."""

    output: bytes
    status: int
    in_time: bool


class Trial:
    """Tries versions one at a time. Safe to call from several threads.

    Args:
        settings: runtime and limits. The trial computes on the CPU, whatever the provider.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._passed: set[str] = set()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    @staticmethod
    def of(settings: Settings) -> "Trial | None":
        """Return the trial that the settings ask for; None for Triton and without a time limit."""
        wanted = settings.models.trial_timeout_s > 0 and settings.runtime.backend == "ort"
        return Trial(settings) if wanted and sys.platform == "linux" else None

    def check(self, name: str, version: int, digest: str) -> None:
        """Try a version, unless one of its digest has passed. Blocks.

        Raises:
            InvalidVersion: the version is refused, as it would be in this process.
            UnloadableVersion: loading takes too long, too much memory or too many files, or ends
                the process.
            NotReady: the service stops.
        """
        if digest in self._passed:
            return
        reply = self._reply(f"{name}/{version}", self._request(name, version))
        if reply.outcome == "memory":
            raise UnloadableVersion(f"{name}/{version}: loading takes more memory than allowed")
        if reply.outcome == "files":
            raise UnloadableVersion(f"{name}/{version}: loading opens more files than allowed")
        if reply.outcome == "refused":
            kind = getattr(errors, reply.error, InvalidVersion)
            known = isinstance(kind, type) and issubclass(kind, errors.ModelError)
            raise (kind if known else InvalidVersion)(reply.message)
        self._passed.add(digest)

    def stop(self) -> None:
        """End the trial that is under way, and refuse further ones."""
        with self._lock:
            self._stopping = True
            if self._process is not None:
                self._process.kill()

    def _request(self, name: str, version: int) -> TrialRequest:
        runtime, models = self._settings.runtime, self._settings.models
        options: dict[str, str | int] = {"variant": runtime.variant, "threads": runtime.threads}
        return TrialRequest(
            models_dir=local_folder(models.models_dir),
            name=name,
            version=version,
            options=options,
            cpu_s=models.trial_cpu_s,
            memory_bytes=models.trial_memory_bytes,
            open_files=models.trial_open_files,
        )

    def _reply(self, version: str, request: TrialRequest) -> TrialReply:
        """Run the process and read its reply."""
        ended = self._run(request)
        if self._stopping:
            raise NotReady(f"{version} is not loaded, because the service stops")
        models = self._settings.models
        if not ended.in_time:
            limit = f"{models.trial_timeout_s:g} s"
            raise UnloadableVersion(f"{version}: loading takes longer than {limit}")
        if ended.status == -signal.SIGXCPU:
            limit = f"{models.trial_cpu_s} s of CPU time"
            raise UnloadableVersion(f"{version}: loading takes more than {limit}")
        try:
            return TrialReply.model_validate_json(ended.output)
        except ValidationError:
            raise UnloadableVersion(
                f"{version}: loading ended the trial process with status {ended.status}"
            ) from None

    def _run(self, request: TrialRequest) -> _Ended:
        """Run the process for at most the time of the settings."""
        with self._start() as process:
            try:
                sent = request.model_dump_json().encode()
                timeout_s = self._settings.models.trial_timeout_s
                output, _ = process.communicate(sent, timeout=timeout_s)
                return _Ended(output, process.returncode, in_time=True)
            except subprocess.TimeoutExpired:
                return _Ended(b"", 0, in_time=False)
            finally:
                with self._lock:
                    self._process = None
                process.kill()

    def _start(self) -> "subprocess.Popen[bytes]":
        root = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with self._lock:
            if self._stopping:
                raise NotReady("no version is loaded any more, because the service stops")
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", PROCESS],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C must reach the service alone
            )
            return self._process
