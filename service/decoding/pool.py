"""Decoding: files are read in processes of their own, which may crash, hang or be killed.

    submit --queue--> keeper, a thread --> its worker, a process --> Decoded, or an InputError

    a worker that crashes, hangs or takes too much memory costs its own request an error, and
    another takes its place

`decoder_worker` is one worker as the service sees it, `decoder_process` is the inside.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from radiograph.errors import MalformedInput
from service.deadline import Deadline
from service.decoding.decode import DecodedImage, DecodeRequest, decode
from service.decoding.forkserver import ForkServer
from service.decoding.worker_handle import Worker, WorkerLost
from service.errors import ClientGone, DeadlineExceeded
from service.observability.observer import NULL_OBSERVER, Observer

logger = logging.getLogger("g2d.decoding")

READER = "service.decoding.decode:decode"
_MIB = 1024 * 1024

_LOST = {
    "crash": "reading the file stopped its decoder",
    "memory": "reading the file takes more memory than is allowed",
    "timeout": "reading the file takes longer than is allowed",
}


@dataclass(frozen=True)
class DecoderOptions:
    """How files are read.

    Attributes:
        workers: processes; 0 reads in threads of this process, where nothing can be killed.
        timeout_s: for one file.
        memory_bytes: that reading one file may allocate.
        patience_s: how long a file is read on that nobody waits for any more; killing the
            worker at once would cost more than the rest of most files.
        reader: `module:function`, the `service.decoding.decode.Reader` that the processes run.
    """

    workers: int
    timeout_s: float = 20.0
    memory_bytes: int = 2048 * _MIB
    patience_s: float = 1.0
    reader: str = READER


class DecoderPool:
    """Reads files, `workers` at a time, in the order they come."""

    def __init__(self, options: DecoderOptions, observer: Observer = NULL_OBSERVER) -> None:
        self._options = options
        self._observer = observer
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._nursery = ForkServer(options.reader, options.memory_bytes)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="decode")

    def start(self) -> None:
        """Start the workers, if they are not there; returns before they are ready."""
        with self._lock:
            for number in range(len(self._threads), self._options.workers):
                keeper = _Supervisor(self._nursery, self._options, self._jobs, self._observer)
                thread = threading.Thread(target=keeper.run, name=f"decode-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def submit(self, order: DecodeRequest, deadline: Deadline) -> Future[DecodedImage]:
        """Queue one file; cancel the future, or abandon the deadline, and it is left unread.

        The future's exceptions:
            InputError: the bytes are at fault, also when they crash, hang or exhaust a worker.
            DeadlineExceeded: the request's own deadline passed.
            ClientGone: nobody waits any more.
            DecoderFailure: an error that nobody expected; the log says where.
        """
        job = _Job(order, deadline)
        if self._options.workers:
            self.start()
            self._jobs.put(job)
        else:
            self._pool.submit(job.run, lambda job: decode(job.order))
        return job.future

    def close(self) -> None:
        """Read what waits, then end the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._nursery.close()


@dataclass(frozen=True, eq=False)
class _Job:
    """One file on its way through a worker."""

    order: DecodeRequest
    deadline: Deadline
    future: Future[DecodedImage] = field(default_factory=Future)

    def run(self, read: "Callable[[_Job], DecodedImage]") -> None:
        """Do it, unless nobody wants it any more; every error goes to whoever asked."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.deadline.check()
            decoded = read(self)
        except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(decoded)


class _Supervisor:
    """Keeps one worker alive and hands it one job after the other, in a thread."""

    def __init__(
        self,
        nursery: ForkServer,
        options: DecoderOptions,
        jobs: "queue.SimpleQueue[_Job | None]",
        observer: Observer,
    ) -> None:
        self._nursery = nursery
        self._options = options
        self._jobs = jobs
        self._observer = observer
        self._worker: Worker | None = None

    def run(self) -> None:
        """Until there is a None among the jobs."""
        with contextlib.suppress(OSError):
            self._worker = self._start()  # before the first file comes
        while (job := self._jobs.get()) is not None:
            job.run(self._read)
            del job  # the file's bytes with it, not when the next one comes
        if self._worker is not None:
            self._worker.end()

    def _read(self, job: _Job) -> DecodedImage:
        if self._worker is not None and not self._worker.alive():
            self._replace("crash")  # while it had nothing to do, so this file is not to blame
        if self._worker is None:
            self._worker = self._start()
        try:
            return self._worker.read(job.order, job.deadline)
        except WorkerLost as lost:
            self._replace(lost.reason)
            raise _explained(lost.reason, job.deadline) from None

    def _replace(self, reason: str) -> None:
        if self._worker is not None:
            self._worker.end()
        self._worker = None
        if reason != "abandoned":
            logger.warning("a decoder was replaced: %s", reason)
            self._observer.decoder_lost(reason)
        with contextlib.suppress(OSError):
            self._worker = self._start()

    def _start(self) -> Worker:
        return Worker(self._nursery, self._options.timeout_s, self._options.patience_s)


def _explained(reason: str, deadline: Deadline) -> Exception:
    """What to tell whoever sent the file that a worker was lost over."""
    if reason in _LOST:
        return MalformedInput(_LOST[reason])
    if deadline.gone:
        return ClientGone("nobody waits for the answer")
    return DeadlineExceeded("the deadline passed before the file was read")
