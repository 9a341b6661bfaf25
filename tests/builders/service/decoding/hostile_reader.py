"""Decoder that does what the file says: crash, hang, allocate memory, lie about the result.

Decoder processes of tests run it by its name.
"""

import hashlib
import os
import signal
import socket
from pathlib import Path

import numpy as np

from radiograph.errors import WrongModality
from radiograph.geometry.geometry import Geometry
from service.decoding.decode import DecodedImage, DecodeRequest, ImageFacts

_kept: list[bytes] = []
_calls = 0


def read(request: DecodeRequest) -> DecodedImage:
    """Do what the first word of the file says; the facts tell which process did it."""
    global _calls
    _calls += 1
    word, _, rest = request.data[:4000].partition(b" ")
    match word:
        case b"abort":
            os.abort()
        case b"exit":
            os._exit(0)
        case b"killed":
            _die_once(Path(rest.decode()))
        case b"loop":
            while True:
                pass
        case b"allocate":
            while True:
                _kept.append(b"x" * 2**24)
        case b"open":
            _calls = _opened()
        case b"work":
            blocks = [b"x" * 10_000_000 for _ in range(5)]  # as much as for a file of 5 MP
            del blocks
        case b"wait":
            Path(rest.decode()).read_bytes()  # a FIFO: returns once the test opens it
        case b"raise":
            raise ValueError("Doe^Jane")
        case b"refuse":
            raise WrongModality("not this one")
        case b"print":
            os.write(1, b"Doe^Jane\n")
            os.write(2, b"Doe^Jane\n")
        case b"send":
            _forge(rest)
        case b"truncate":
            os.ftruncate(_descriptor("/memfd:g2d-decoder"), 0)
            _forge(rest)
    digest = hashlib.sha256(request.data).hexdigest()
    facts = ImageFacts(
        rows=1, columns=_calls, photometric_interpretation=digest, sop_instance_uid=str(os.getpid())
    )
    size = request.spec.size_px
    tensor = np.zeros((1, size, size), np.float32)
    return DecodedImage(tensor, Geometry.fit(1, _calls, size), facts, None, {})


def _die_once(mark: Path) -> None:
    """Die as if killed from outside, unless a process did so before and left the mark."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _opened() -> int:
    """Open files until the system refuses one, and return how many that were."""
    opened: list[int] = []
    try:
        while len(opened) < 100_000:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return len(opened)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return len(opened)


def _forge(message: bytes) -> None:
    """Send a message in place of the worker, and never return, as a worker that was taken over."""
    socket.socket(fileno=_descriptor("socket:")).send(message)
    while True:
        pass


def _descriptor(target: str) -> int:
    """Return the file descriptor whose link begins with a text."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith(target):  # noqa: PTH115
                return int(name)
        except FileNotFoundError:  # the descriptor that lists the folder
            continue
    raise FileNotFoundError(target)
