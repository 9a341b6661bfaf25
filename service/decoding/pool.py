"""Decoder pool: files are decoded in separate processes, which may crash, hang or be killed.

    submit --fair queue--> supervisor (thread) --> worker (process) --> DecodedImage | InputError

A worker that hangs or uses too much memory costs its own request an error, and another worker
replaces it. A worker that dies may have been killed from outside, so its file is decoded once more
by the worker that replaces it. `worker_handle` is one worker as the service sees it, `worker` is
its inside.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from radiograph.errors import MalformedInput
from service.deadline import Deadline
from service.decoding.decode import DecodedImage, DecodeRequest, decode
from service.decoding.fair_queue import FairQueue
from service.decoding.forkserver import ForkServer
from service.decoding.worker_handle import WorkerHandle, WorkerLost
from service.errors import ClientGone, DeadlineExceeded, DecodersLost, Overloaded
from service.observability.observer import NULL_OBSERVER, Observer
from service.settings import DecodingSettings

logger = logging.getLogger("g2d.decoding")

DECODER = "service.decoding.decode:decode"
PATIENCE_S = 1.0
"""How long a file is decoded on after its request is over: killing the worker at once would cost
more than the rest of most files."""

_THREADS_WITHOUT_PROCESSES = 2
_ATTEMPTS = 2
_LOST = {
    "memory": "decoding the file takes more memory than allowed",
    "timeout": "decoding the file takes longer than allowed",
}


class DecoderPool:
    """Decodes as many files at a time as there are workers; clients take turns.

    Args:
        settings: number of workers and bounds on each file. Without workers, files are decoded in
            threads of this process, where decoding cannot be interrupted.
        observer: is told of every worker that is lost.
        decoder: `module:function` of the `Decoder` that the processes run.
        patience_s: how long a file is decoded on after its request is over.
    """

    def __init__(
        self,
        settings: DecodingSettings,
        observer: Observer = NULL_OBSERVER,
        *,
        decoder: str = DECODER,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._patience_s = patience_s
        self._jobs: FairQueue[_Job] = FairQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._fork_server = ForkServer(decoder, settings.memory_bytes, settings.open_files)
        self._executor = ThreadPoolExecutor(_THREADS_WITHOUT_PROCESSES, thread_name_prefix="decode")

    def start(self) -> None:
        """Start the missing workers; returns before they are ready."""
        with self._lock:
            for number in range(len(self._threads), self._settings.workers):
                supervisor = _Supervisor(self._start_worker, self._jobs, self._observer)
                name = f"decode-{number}"
                thread = threading.Thread(target=supervisor.run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def submit(
        self, request: DecodeRequest, deadline: Deadline, client: str = ""
    ) -> Future[DecodedImage]:
        """Queue one file, which is skipped if its future is cancelled or its deadline abandoned.

        Args:
            request: the file.
            deadline: deadline of the request that brought it.
            client: whose turn it takes.

        The future's exceptions:
            InputError: the file is at fault, also if it hangs or exhausts a worker.
            DecodersLost: two workers stopped while they decoded the file.
            Overloaded: no worker can be started.
            DeadlineExceeded: the request's own deadline passed.
            ClientGone: the client no longer waits.
            DecoderFailure: an unexpected error; the log says where.
        """
        job = _Job(request, deadline)
        self._jobs.put(client, job)
        if self._settings.workers:
            self.start()
        else:
            self._executor.submit(_work, self._jobs, lambda job: decode(job.request))
        return job.future

    def close(self) -> None:
        """Decode the queued files, then end the workers."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._jobs.close()
        for thread in self._threads:
            thread.join()
        self._fork_server.close()

    def _start_worker(self) -> WorkerHandle:
        return WorkerHandle(self._fork_server, self._settings.timeout_s, self._patience_s)


@dataclass(frozen=True, eq=False)
class _Job:
    """One file on its way through a worker."""

    request: DecodeRequest
    deadline: Deadline
    future: Future[DecodedImage] = field(default_factory=Future)

    def run(self, decode: "Callable[[_Job], DecodedImage]") -> None:
        """Decode the file unless its request is over; every error goes to the future."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.deadline.check()
            decoded = decode(self)
        except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(decoded)


def _work(jobs: FairQueue[_Job], decode: Callable[[_Job], DecodedImage]) -> bool:
    """Wait for the next job and do it; False if there will be none."""
    turn = jobs.get()
    if turn is None:
        return False
    client, job = turn
    try:
        job.run(decode)
    finally:
        jobs.done(client)
    return True  # which frees the bytes of the file now, not when the next job comes


class _Supervisor:
    """Keeps one worker running and gives it one job after the other, in a thread."""

    def __init__(
        self,
        start: Callable[[], WorkerHandle],
        jobs: FairQueue[_Job],
        observer: Observer,
    ) -> None:
        self._start = start
        self._jobs = jobs
        self._observer = observer
        self._worker: WorkerHandle | None = None

    def run(self) -> None:
        """Work on jobs until there will be no more."""
        with contextlib.suppress(OSError):
            self._worker = self._start()  # before the first file comes
        while _work(self._jobs, self._decode):
            pass
        if self._worker is not None:
            self._worker.end()

    def _decode(self, job: _Job) -> DecodedImage:
        for _ in range(_ATTEMPTS):
            worker = self._running_worker()
            try:
                return worker.decode(job.request, job.deadline)
            except WorkerLost as lost:
                self._replace(lost.reason)
                if lost.reason != "crash":
                    raise _error_for(lost.reason, job.deadline) from None
            job.deadline.check()
        raise DecodersLost(f"{_ATTEMPTS} decoder processes stopped while they decoded the file")

    def _running_worker(self) -> WorkerHandle:
        if self._worker is not None and not self._worker.alive():
            self._replace("crash")  # it ended while idle, so this file is not to blame
        if self._worker is None:
            try:
                self._worker = self._start()
            except OSError as error:
                raise Overloaded("no decoder process can be started; retry later") from error
        return self._worker

    def _replace(self, reason: str) -> None:
        if self._worker is not None:
            self._worker.end()
        self._worker = None
        if reason != "abandoned":
            logger.warning("a decoder was replaced: %s", reason)
            self._observer.decoder_lost(reason)
        with contextlib.suppress(OSError):
            self._worker = self._start()


def _error_for(reason: str, deadline: Deadline) -> Exception:
    """Return the error for the request over which a worker was lost."""
    if reason in _LOST:
        return MalformedInput(_LOST[reason])
    if deadline.gone:
        return ClientGone("the client no longer waits for the answer")
    return DeadlineExceeded("the deadline passed before the file was decoded")
