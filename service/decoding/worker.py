"""The decoder processes, from the inside: a nursery that forks workers, and their loop.

    service --socket + memory file--> nursery --fork--> worker
    worker:  order (JSON) on the socket, the file's bytes in the memory file
             --Reader--> tensor and preview in the memory file, the rest (JSON) on the socket

The nursery imports the readers once and does nothing else, so a worker starts in milliseconds
and shares its memory with the others. What comes back is JSON and numbers, never a pickle: a
file that takes a worker over must not reach the service that way.

Everything ends with the service: the nursery when its socket closes, even by kill -9, and the
workers with the nursery.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from typing import Any

from radiograph.errors import InputError
from radiograph.limits import Limits
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import DecodeRequest, Reader
from service.decoding.messages import MAX_MESSAGE_BYTES, _leave

_NICENESS = 5  # the event loop and the model go first
_MAX_TEXT = 2000
_PR_SET_PDEATHSIG = 1


def main(control_fd: int, reader: str, memory_bytes: int) -> None:
    """Be the nursery: fork one worker for each pair of files that arrives, until the socket ends.

    Args:
        control_fd: socket that brings a worker's socket and memory file.
        reader: `module:function`, a `Reader`.
        memory_bytes: what a worker may allocate.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a worker ended
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's image
    module, _, function = reader.partition(":")
    read: Reader = getattr(importlib.import_module(module), function)
    _warm()
    gc.collect()
    gc.freeze()  # or each worker's first collection would copy every page
    control = socket.socket(fileno=control_fd)
    while True:
        message, files, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _work(socket.socket(fileno=files[0]), files[1], read, memory_bytes)
            os._exit(0)
        for file in files:
            os.close(file)


def _warm() -> None:
    """Load what the first file of each kind would load, once for every worker."""
    from PIL import Image

    Image.init()
    try:
        import imagecodecs
    except ImportError:  # compressed transfer syntaxes are then refused, one by one
        return
    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "dicomrle_decode"):
        getattr(imagecodecs, name)


def _work(channel: socket.socket, memory: int, read: Reader, memory_bytes: int) -> None:
    """Be a worker: answer orders until the service closes the socket."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    _silence()
    _limit(memory_bytes)
    channel.send(json.dumps({"pid": os.getpid()}).encode())
    while message := channel.recv(MAX_MESSAGE_BYTES):
        reply = _answer(json.loads(message), memory, read)
        channel.send(json.dumps(reply).encode())
        if "lost" in reply:
            return


def _silence() -> None:
    """Codecs print what they find wrong, and a message may quote the file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _limit(memory_bytes: int) -> None:
    """Cap what is allocated from now on: RLIMIT_DATA counts no code and no shared memory."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib here
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    limit = used * 1024 + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _answer(order: dict[str, Any], memory: int, read: Reader) -> dict[str, Any]:
    """One order -> one reply; the arrays are left in the memory file."""
    try:
        decoded = read(
            DecodeRequest(
                data=os.pread(memory, order["bytes"], 0),
                media_type=order["media_type"],
                spec=PreprocessSpec(**order["spec"]),
                limits=Limits(**order["limits"]),
                preview_px=order["preview_px"],
            )
        )
        return _leave(decoded, memory)
    except InputError as error:
        return {"error": type(error).__name__, "message": str(error)[:_MAX_TEXT]}
    except MemoryError:
        return {"lost": "memory"}
    except Exception as error:  # noqa: BLE001 - told to the service, which knows what to do
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
        return {"fault": type(error).__name__, "where": where}


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
