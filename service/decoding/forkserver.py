"""Fork server of the decoder processes, as the service sees it.

    fork --socket, memory file--> `service.decoding.worker` --fork--> worker, replies on the socket

The process starts with the first worker, and again whenever it has ended.
"""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from service.decoding import worker
from service.decoding.memory_file import MemoryFile


class ForkServer:
    """Process that forks decoder workers; it is restarted when it has ended.

    Args:
        decoder: `module:function` that its workers decode files with.
        memory_bytes: memory that decoding one file may allocate.
        open_files: files that a worker may have open.
    """

    def __init__(self, decoder: str, memory_bytes: int, open_files: int) -> None:
        self._decoder = decoder
        self._limits = (str(memory_bytes), str(open_files))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, channel: socket.socket, memory: MemoryFile) -> None:
        """Fork a worker that replies on a socket.

        Raises:
            OSError: no process can be started.
        """
        with self._lock:
            for attempt in (1, 2):
                if self._control is None or attempt == 2:
                    self._control = self._start()
                try:
                    files = [channel.fileno(), memory.fileno()]
                    socket.send_fds(self._control, [b"fork"], files)
                except BrokenPipeError:
                    continue
                return
        raise OSError("the decoder processes cannot be started")

    def close(self) -> None:
        """End the process, and with it every worker."""
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
            arguments = (str(theirs.fileno()), self._decoder, *self._limits)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", worker.__name__, *arguments],
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                # Ctrl-C must reach the service alone, which ends the process in time. A session of
                # its own would also do that, but would give the process its own share of the CPUs
                # (Linux autogroup), whatever its niceness.
                process_group=0,
            )
        return ours


def _environment() -> dict[str, str]:
    """Return the service's environment, with our packages found and without thread pools."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
