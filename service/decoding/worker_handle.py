"""One worker of the decoders, as the service sees it: an order goes in, what was read comes out.

    Order --bytes to the memory file, the rest as JSON--> worker
    Decoded <--tensor, preview from the memory file, the rest as JSON--'
    Lost    <--no answer: it crashed, hung, took too much memory, or nobody waits any more

Each worker has one memory file (memfd) that is written, read and kept: no pickle, no name in
/dev/shm that could be left behind, and 10 MB take two copies.
"""

import contextlib
import json
import logging
import os
import select
import signal
import socket
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Geometry
from service.deadline import Deadline
from service.decoding import messages
from service.decoding.decode import DecodedImage, DecodeRequest
from service.decoding.forkserver import ForkServer
from service.decoding.messages import _facts, _message, input_error
from service.errors import DecoderFailure

logger = logging.getLogger("g2d.decoding")

_START_S = 60.0
_LOOK_S = 0.1
_KEPT_BYTES = 32 * 1024 * 1024
"""A memory file that grew beyond it is cut down to it."""


class WorkerLost(Exception):
    """The worker is of no use any more: `crash`, `timeout`, `memory`, or `abandoned`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker:
    """One worker process, as the service sees it.

    Args:
        nursery: forks it.
        timeout_s: for one file.
        patience_s: how long a file is read on that nobody waits for any more.
    """

    def __init__(self, nursery: ForkServer, timeout_s: float, patience_s: float) -> None:
        """Start it.

        Raises:
            OSError: it does not start.
        """
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory = os.memfd_create("g2d-decoder")
        self._process: int | None = None
        try:
            with theirs:
                nursery.fork(theirs, self._memory)
            self._channel.settimeout(_START_S)
            hello = self._channel.recv(messages.MAX_MESSAGE_BYTES)
            self._process = os.pidfd_open(json.loads(hello)["pid"])
        except (OSError, ValueError) as error:
            self.end()
            raise OSError("a decoder process does not start") from error
        self._channel.settimeout(_LOOK_S)

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and not select.select([self._process], (), (), 0)[0]

    def read(self, order: DecodeRequest, deadline: Deadline) -> DecodedImage:
        """Read one file.

        Raises:
            InputError, DecoderFailure: what the worker answered.
            Lost: it did not answer.
        """
        try:
            _write(self._memory, order.data)
            self._channel.send(_message(order))
            reply = self._reply(deadline)
        except OSError:
            raise WorkerLost("crash") from None
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

    def _reply(self, deadline: Deadline) -> dict[str, Any]:
        """The answer, unless it takes too long or nobody has waited for it for a while."""
        latest = time.monotonic() + self._timeout_s
        in_vain: float | None = None
        while True:
            try:
                message = self._channel.recv(messages.MAX_MESSAGE_BYTES)
            except TimeoutError:
                now = time.monotonic()
                if in_vain is None and deadline.over():
                    in_vain = now
                if now >= latest:
                    raise WorkerLost("timeout") from None
                if in_vain is not None and now >= in_vain + self._patience_s:
                    raise WorkerLost("abandoned") from None
                continue
            if not message:
                raise WorkerLost("crash")
            reply: dict[str, Any] = json.loads(message)
            return reply

    def _decoded(self, reply: dict[str, Any]) -> DecodedImage:
        """A reply as what was read, or as the error that it tells of."""
        if "lost" in reply:
            raise WorkerLost("memory")
        if "error" in reply:
            raise input_error(reply["error"], reply["message"])
        if "fault" in reply:
            fields = {"error": reply["fault"], "where": reply["where"]}
            logger.error("unexpected %s in a decoder", reply["fault"], extra={"fields": fields})
            raise DecoderFailure(f"a decoder failed: {reply['fault']}")
        tensor = self._array(reply["tensor"], np.dtype(np.float32), 0)
        preview: NDArray[np.uint8] | None = None
        if reply["preview"] is not None:
            preview = self._array(reply["preview"], np.dtype(np.uint8), tensor.nbytes)
        return DecodedImage(
            tensor=tensor,
            geometry=Geometry(**reply["geometry"]),
            image=_facts(reply["image"]),
            preview=preview,
            timings_ms=reply["timings_ms"],
        )

    def _array(self, shape: list[int], dtype: np.dtype[Any], at: int) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if os.preadv(self._memory, [array.reshape(-1).view(np.uint8).data], at) != array.nbytes:
            raise WorkerLost("crash")
        return array


def _write(memory: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(memory, view[at:], at)
