"""Inside of the decoder processes: the fork server's main program and the loop of its workers.

    service --socket + memory file--> fork server --fork--> worker
    worker:  RequestMessage on the socket, the bytes of the file in the memory file
             --Decoder--> arrays in the memory file, a reply on the socket

The fork server imports the readers once and does nothing else, so a worker starts in milliseconds
and shares its memory with the others. Replies are JSON and numbers, never a pickle: a file that
takes a worker over must not reach the service that way.

Every process ends with the service: the fork server when its socket closes, even after kill -9,
and the workers with the fork server.
"""

import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import traceback

from radiograph.errors import InputError
from service import malloc, process_limits
from service.decoding.decode import Decoder
from service.decoding.memory_file import MemoryFile
from service.decoding.messages import (
    MAX_FRAMES,
    MAX_MESSAGE_BYTES,
    FailureMessage,
    ImageMessage,
    InputErrorMessage,
    OutOfMemory,
    Reply,
    RequestMessage,
    WorkerStarted,
)

_NICENESS = 5  # the event loop and the model go first
_PR_SET_PDEATHSIG = 1
_KEPT_BYTES = 64 * 1024 * 1024
"""Freed memory that a worker keeps, enough for a file of 5 MP."""


def main(control_fd: int, decoder: str, memory_bytes: int, open_files: int) -> None:
    """Run the fork server: fork one worker for each pair of files that arrives on the socket.

    Args:
        control_fd: socket that passes the socket and the memory file of each new worker.
        decoder: `module:function` of a `Decoder`.
        memory_bytes: memory that a worker may allocate.
        open_files: files that a worker may have open.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended workers leave no zombies
    process_limits.forbid_core_files()
    module, _, function = decoder.partition(":")
    decode: Decoder = getattr(importlib.import_module(module), function)
    _preload()
    gc.collect()
    gc.freeze()  # otherwise each worker's first collection would copy every shared page
    control = socket.socket(fileno=control_fd)
    while True:
        message, files, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            channel, memory = socket.socket(fileno=files[0]), MemoryFile(files[1])
            _serve(channel, memory, decode, memory_bytes, open_files)
            os._exit(0)
        for file in files:
            os.close(file)


def _preload() -> None:
    """Load what the first file of each kind would load, once for all workers."""
    from PIL import Image

    Image.init()
    try:
        import imagecodecs
    except ImportError:  # files with compressed transfer syntaxes are then refused
        return
    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "dicomrle_decode"):
        getattr(imagecodecs, name)


def _serve(
    channel: socket.socket,
    memory: MemoryFile,
    decode: Decoder,
    memory_bytes: int,
    open_files: int,
) -> None:
    """Run a worker: reply to requests until the service closes the socket."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    _silence()
    process_limits.limit_memory(memory_bytes)
    process_limits.limit_open_files(open_files)
    malloc.keep_freed(_KEPT_BYTES)
    channel.send(WorkerStarted(pid=os.getpid()).encode())
    while message := channel.recv(MAX_MESSAGE_BYTES):
        reply = _reply(RequestMessage.decode(message), memory, decode)
        channel.send(reply.encode())
        if isinstance(reply, OutOfMemory):
            return


def _silence() -> None:
    """Discard all output: codecs print complaints that may quote the file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _reply(request: RequestMessage, memory: MemoryFile, decode: Decoder) -> Reply:
    """Decode one file and return the reply; the arrays are left in the memory file."""
    try:
        return ImageMessage.write(decode(request.request(memory)), memory)
    except InputError as error:
        return InputErrorMessage.of(error)
    except MemoryError:
        return OutOfMemory()
    except Exception as error:  # noqa: BLE001 - reported to the service, which decides
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        where = tuple(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        return FailureMessage(error=type(error).__name__, where=where)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
