"""A reader for decoder processes that does what the file tells it: crash, hang, allocate, ...

Run by the decoder processes of `test_decoding`, by its name.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from radiograph.errors import WrongModality
from radiograph.geometry import Geometry
from service.decoding.decode import DecodedImage, DecodeRequest, ImageFacts

_kept: list[bytes] = []
_calls = 0


def read(order: DecodeRequest) -> DecodedImage:
    """Do what the first word of the file says; the facts tell who did it."""
    global _calls
    _calls += 1
    word, _, rest = order.data[:200].partition(b" ")
    match word:
        case b"abort":
            os.abort()
        case b"exit":
            os._exit(0)
        case b"loop":
            while True:
                pass
        case b"allocate":
            while True:
                _kept.append(b"x" * 2**24)
        case b"wait":
            Path(rest.decode()).read_bytes()  # a FIFO: until the test opens it
        case b"raise":
            raise ValueError("Doe^Jane")
        case b"refuse":
            raise WrongModality("not this one")
        case b"print":
            os.write(1, b"Doe^Jane\n")
            os.write(2, b"Doe^Jane\n")
    digest = hashlib.sha256(order.data).hexdigest()
    facts = ImageFacts(rows=os.getpid(), columns=_calls, photometric_interpretation=digest)
    return DecodedImage(np.zeros((1, 2, 2), np.float32), Geometry.fit(2, 2, 2), facts, None, {})
