"""The nursery of the decoders, as the service sees it: a process that forks their workers.

    fork --socket, memory file--> `decoder_process` --fork--> worker, which answers on the socket

It is started when the first worker is asked for, and again when it is gone.
"""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from service.decoding import worker


class ForkServer:
    """The process that forks workers; started again when it is gone.

    Args:
        reader: `module:function`, what its workers read with.
        memory_bytes: that reading one file may allocate.
    """

    def __init__(self, reader: str, memory_bytes: int) -> None:
        self._reader = reader
        self._memory_bytes = memory_bytes
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
            arguments = (str(theirs.fileno()), self._reader, str(self._memory_bytes))
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", worker.__name__, *arguments],
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for the service, which ends it in time; a session of its own would also
                # give it a share of the processors of its own (Linux autogroup), nice or not
                process_group=0,
            )
        return ours


def _environment() -> dict[str, str]:
    """That of the service, with its packages found and no thread pool started at import."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
