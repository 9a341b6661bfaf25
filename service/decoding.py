"""Decoding: files are read in processes of their own, which may crash, hang or be killed.

    bytes --memory file--> worker process --memory file--> tensor, preview
           order, JSON ---------^   '--------- reply, JSON ---> facts, or an InputError

    a worker that crashes, hangs or takes too much memory costs its own request an error, and
    another takes its place

Each worker has one memory file (memfd) that is written, read and kept: no pickle, no name in
/dev/shm that could be left behind, and 10 MB take two copies. `decoder_process` is the inside.
"""

import contextlib
import dataclasses
import json
import logging
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph import errors
from radiograph.errors import InputError, MalformedInput
from radiograph.geometry import Geometry
from service import decoder_process
from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, DecoderFailure
from service.events import NOBODY, Observer
from service.reading import Decoded, ImageFacts, Order, decode

logger = logging.getLogger("g2d.decoding")

READER = "service.reading:decode"
_MIB = 1024 * 1024
_START_S = 60.0
_LOOK_S = 0.1
_KEPT_BYTES = 32 * _MIB
"""A memory file that grew beyond it is cut down to it."""

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
        reader: `module:function`, the `service.reading.Reader` that the processes run.
    """

    workers: int
    timeout_s: float = 20.0
    memory_bytes: int = 2048 * _MIB
    patience_s: float = 1.0
    reader: str = READER


class Decoders:
    """Reads files, `workers` at a time, in the order they come."""

    def __init__(self, options: DecoderOptions, observer: Observer = NOBODY) -> None:
        self._options = options
        self._observer = observer
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._nursery = _Nursery(options)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="decode")

    def start(self) -> None:
        """Start the workers, if they are not there; returns before they are ready."""
        with self._lock:
            for number in range(len(self._threads), self._options.workers):
                keeper = _Keeper(self._nursery, self._options, self._jobs, self._observer)
                thread = threading.Thread(target=keeper.run, name=f"decode-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def submit(self, order: Order, deadline: Deadline) -> Future[Decoded]:
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

    order: Order
    deadline: Deadline
    future: Future[Decoded] = field(default_factory=Future)

    def run(self, read: "Callable[[_Job], Decoded]") -> None:
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


class _Lost(Exception):
    """The worker is of no use any more: `crash`, `timeout`, `memory`, or `abandoned`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Nursery:
    """The process that forks workers; started again when it is gone."""

    def __init__(self, options: DecoderOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, channel: socket.socket, memory: int) -> None:
        """Have a worker forked that answers on a socket.

        Raises:
            OSError: no process can be started.
        """
        with self._lock:
            for attempt in (1, 2):
                if self._control is None or attempt == 2:
                    self._control = self._start()
                try:
                    socket.send_fds(self._control, [b"fork"], [channel.fileno(), memory])
                except BrokenPipeError:
                    continue
                return
        raise OSError("the decoder processes cannot be started")

    def close(self) -> None:
        """Let it end, and every worker with it."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                self._process.wait()

    def _start(self) -> socket.socket:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = (str(theirs.fileno()), self._options.reader)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    *("-P", "-m", decoder_process.__name__),
                    *arguments,
                    str(self._options.memory_bytes),
                ],
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for the service, which ends it in time; a session of its own would also
                # give it a share of the processors of its own (Linux autogroup), nice or not
                process_group=0,
            )
        return ours


def _environment() -> dict[str, str]:
    """That of the service, with its packages found and no thread pool started at import."""
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class _Worker:
    """One worker process, as the service sees it."""

    def __init__(self, nursery: _Nursery, options: DecoderOptions) -> None:
        """Start it.

        Raises:
            OSError: it does not start.
        """
        self._options = options
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory = os.memfd_create("g2d-decoder")
        self._process: int | None = None
        try:
            with theirs:
                nursery.fork(theirs, self._memory)
            self._channel.settimeout(_START_S)
            hello = self._channel.recv(decoder_process.MAX_MESSAGE_BYTES)
            self._process = os.pidfd_open(json.loads(hello)["pid"])
        except (OSError, ValueError) as error:
            self.end()
            raise OSError("a decoder process does not start") from error
        self._channel.settimeout(_LOOK_S)

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and not select.select([self._process], (), (), 0)[0]

    def read(self, job: _Job) -> Decoded:
        """Read one file.

        Raises:
            InputError, DecoderFailure: what the worker answered.
            _Lost: it did not answer.
        """
        order = job.order
        try:
            _write(self._memory, order.data)
            self._channel.send(_message(order))
            reply = self._reply(job)
        except OSError:
            raise _Lost("crash") from None
        try:
            return self._decoded(reply)
        finally:
            if len(order.data) > _KEPT_BYTES:
                os.ftruncate(self._memory, _KEPT_BYTES)

    def end(self) -> None:
        """Kill it, whatever it does, and free what it had."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)
        self._channel.close()
        os.close(self._memory)

    def _reply(self, job: _Job) -> dict[str, Any]:
        """The answer, unless it takes too long or nobody has waited for it for a while."""
        latest = time.monotonic() + self._options.timeout_s
        in_vain: float | None = None
        while True:
            try:
                message = self._channel.recv(decoder_process.MAX_MESSAGE_BYTES)
            except TimeoutError:
                now = time.monotonic()
                if in_vain is None and job.deadline.over():
                    in_vain = now
                if now >= latest:
                    raise _Lost("timeout") from None
                if in_vain is not None and now >= in_vain + self._options.patience_s:
                    raise _Lost("abandoned") from None
                continue
            if not message:
                raise _Lost("crash")
            reply: dict[str, Any] = json.loads(message)
            return reply

    def _decoded(self, reply: dict[str, Any]) -> Decoded:
        """A reply as what was read, or as the error that it tells of."""
        if "lost" in reply:
            raise _Lost("memory")
        if "error" in reply:
            raise _input_error(reply["error"], reply["message"])
        if "fault" in reply:
            fields = {"error": reply["fault"], "where": reply["where"]}
            logger.error("unexpected %s in a decoder", reply["fault"], extra={"fields": fields})
            raise DecoderFailure(f"a decoder failed: {reply['fault']}")
        tensor = self._array(reply["tensor"], np.dtype(np.float32), 0)
        preview: NDArray[np.uint8] | None = None
        if reply["preview"] is not None:
            preview = self._array(reply["preview"], np.dtype(np.uint8), tensor.nbytes)
        return Decoded(
            tensor=tensor,
            geometry=Geometry(**reply["geometry"]),
            image=_facts(reply["image"]),
            preview=preview,
            timings_ms=reply["timings_ms"],
        )

    def _array(self, shape: list[int], dtype: np.dtype[Any], at: int) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if os.preadv(self._memory, [array.reshape(-1).view(np.uint8).data], at) != array.nbytes:
            raise _Lost("crash")
        return array


class _Keeper:
    """Keeps one worker alive and hands it one job after the other, in a thread."""

    def __init__(
        self,
        nursery: _Nursery,
        options: DecoderOptions,
        jobs: "queue.SimpleQueue[_Job | None]",
        observer: Observer,
    ) -> None:
        self._nursery = nursery
        self._options = options
        self._jobs = jobs
        self._observer = observer
        self._worker: _Worker | None = None

    def run(self) -> None:
        """Until there is a None among the jobs."""
        with contextlib.suppress(OSError):
            self._worker = _Worker(self._nursery, self._options)  # before the first file comes
        while (job := self._jobs.get()) is not None:
            job.run(self._read)
            del job  # the file's bytes with it, not when the next one comes
        if self._worker is not None:
            self._worker.end()

    def _read(self, job: _Job) -> Decoded:
        if self._worker is not None and not self._worker.alive():
            self._replace("crash")  # while it had nothing to do, so this file is not to blame
        if self._worker is None:
            self._worker = _Worker(self._nursery, self._options)
        try:
            return self._worker.read(job)
        except _Lost as lost:
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
            self._worker = _Worker(self._nursery, self._options)


def _explained(reason: str, deadline: Deadline) -> Exception:
    """What to tell whoever sent the file that a worker was lost over."""
    if reason in _LOST:
        return MalformedInput(_LOST[reason])
    if deadline.gone:
        return ClientGone("nobody waits for the answer")
    return DeadlineExceeded("the deadline passed before the file was read")


def _message(order: Order) -> bytes:
    return json.dumps(
        {
            "bytes": len(order.data),
            "media_type": order.media_type,
            "spec": order.spec.model_dump(),
            "limits": dataclasses.asdict(order.limits),
            "preview_px": order.preview_px,
        }
    ).encode()


def _write(memory: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(memory, view[at:], at)


def _input_error(name: str, message: str) -> InputError:
    """The error of that name; a worker that was taken over cannot make up another kind."""
    kind = getattr(errors, name, MalformedInput)
    is_input_error = isinstance(kind, type) and issubclass(kind, InputError)
    return kind(message) if is_input_error else MalformedInput(message)


def _facts(image: dict[str, Any]) -> ImageFacts:
    spacing = image.pop("spacing_mm")
    warnings = tuple(image.pop("warnings"))
    spacing_mm = None if spacing is None else (spacing[0], spacing[1])
    return ImageFacts(spacing_mm=spacing_mm, warnings=warnings, **image)
