"""Handle of one decoder worker, as the service sees it.

    DecodeRequest --file to the memory file, RequestMessage on the socket--> worker
    DecodedImage  <--arrays from the memory file, ImageMessage on the socket--'
    WorkerLost    <--no valid reply: the worker crashed, hung or used too much memory, or the
                     client has left

Each worker has one memory file, which is reused for every request; 10 MB take two copies.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import time

from service.deadline import Deadline
from service.decoding.decode import DecodedImage, DecodeRequest
from service.decoding.forkserver import ForkServer
from service.decoding.memory_file import MemoryFile
from service.decoding.messages import (
    MAX_MESSAGE_BYTES,
    FailureMessage,
    ImageMessage,
    InputErrorMessage,
    InvalidMessage,
    OutOfMemory,
    Reply,
    RequestMessage,
    WorkerStarted,
    decode_reply,
)
from service.errors import DecoderFailure, Overloaded

logger = logging.getLogger("g2d.decoding")

_START_S = 60.0
_POLL_S = 0.1
_KEPT_BYTES = 32 * 1024 * 1024
"""A memory file that grew beyond this size is shrunk to it after the request."""


class WorkerLost(Exception):
    """The worker can no longer be used.

    Args:
        reason: `crash`, `timeout`, `memory` or `abandoned`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkerHandle:
    """One worker process.

    Args:
        fork_server: starts the process.
        timeout_s: time limit for one file.
        patience_s: how long decoding may go on after its request is over.
    """

    def __init__(self, fork_server: ForkServer, timeout_s: float, patience_s: float) -> None:
        """Start the process.

        Raises:
            OSError: the process does not start.
        """
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory = MemoryFile()
        self._process: int | None = None
        try:
            with theirs:
                fork_server.fork(theirs, self._memory)
            self._channel.settimeout(_START_S)
            started = WorkerStarted.decode(self._channel.recv(MAX_MESSAGE_BYTES))
            self._process = os.pidfd_open(started.pid)
        except (OSError, InvalidMessage) as error:
            self.end()
            raise OSError("a decoder process does not start") from error
        self._channel.settimeout(_POLL_S)

    def alive(self) -> bool:
        """Return whether the process is running."""
        return self._process is not None and not select.select([self._process], (), (), 0)[0]

    def decode(self, request: DecodeRequest, deadline: Deadline) -> DecodedImage:
        """Decode one file.

        Raises:
            InputError: the file is at fault.
            DecoderFailure: decoding failed unexpectedly.
            WorkerLost: the worker sent no valid reply.
            Overloaded: there is no memory to hand the file over in.
        """
        try:
            self._hand_over(request.data)
            self._channel.send(RequestMessage.of(request).encode())
            message = self._receive(deadline)
            return self._decoded(decode_reply(message), request)
        except OSError:
            raise WorkerLost("crash") from None
        except InvalidMessage as error:
            logger.warning("a decoder process sent an invalid message: %s", error)
            raise WorkerLost("crash") from None
        finally:
            self._memory.shrink(_KEPT_BYTES)

    def end(self) -> None:
        """Kill the process, whatever it does, and free its resources."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)
        self._channel.close()
        self._memory.close()

    def _hand_over(self, data: bytes) -> None:
        try:
            self._memory.write(data)
        except OSError as error:  # nothing is known about the file yet
            raise Overloaded("not enough memory to decode the file; retry later") from error

    def _receive(self, deadline: Deadline) -> bytes:
        """Wait for the reply, unless it takes too long or its request has been over for a while."""
        latest = time.monotonic() + self._timeout_s
        over_since: float | None = None
        while True:
            try:
                message = self._channel.recv(MAX_MESSAGE_BYTES)
            except TimeoutError:
                now = time.monotonic()
                if over_since is None and deadline.over():
                    over_since = now
                if now >= latest:
                    raise WorkerLost("timeout") from None
                if over_since is not None and now >= over_since + self._patience_s:
                    raise WorkerLost("abandoned") from None
                continue
            if not message:
                raise WorkerLost("crash")
            return message

    def _decoded(self, reply: Reply, request: DecodeRequest) -> DecodedImage:
        """Return the image of a reply, or raise the error that the reply reports."""
        match reply:
            case ImageMessage():
                return reply.read(request, self._memory)
            case InputErrorMessage():
                raise reply.to_error()
            case OutOfMemory():
                raise WorkerLost("memory")
            case FailureMessage():
                fields = {"error": reply.error, "where": list(reply.where)}
                logger.error("unexpected %s in a decoder", reply.error, extra={"fields": fields})
                raise DecoderFailure(f"a decoder failed: {reply.error}")
