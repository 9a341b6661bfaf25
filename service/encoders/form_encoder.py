"""Form encoder: an answer together with the displayed pixels, as a viewer in a browser reads them.

multipart/form-data     `Response.formData()` of a browser parses it
    answer    application/json            as without pixels
    display   application/json            shape, byte order and window of the pixels
    pixels    application/octet-stream    rows x columns, 16 bits, little-endian, row by row

One response holds both, so that a file is sent and decoded once.
"""

import numpy as np
from pydantic_core import to_json

from service.decoding.decode import DisplayedPixels

MEDIA_TYPE = "multipart/form-data"


def encode(answer: bytes, displayed: DisplayedPixels | None, boundary: str) -> bytes:
    """Return the body of a form.

    Args:
        answer: the answer as JSON.
        displayed: the pixels; a form without them has the part `answer` only.
        boundary: separates the parts; too long and random to occur in the pixels.
    """
    parts = [_part("answer", "application/json", answer)]
    if displayed is not None:
        rows, columns = displayed.pixels.shape
        display = {
            "rows": rows,
            "columns": columns,
            "bits": 16,
            "byte_order": "little",
            "window": {"black": displayed.black, "white": displayed.white},
        }
        pixels = displayed.pixels.astype(np.dtype("<u2"), copy=False).tobytes()
        parts.append(_part("display", "application/json", to_json(display)))
        parts.append(_part("pixels", "application/octet-stream", pixels))
    separator = f"--{boundary}\r\n".encode()
    end = f"--{boundary}--\r\n".encode()
    return b"".join((*(separator + part for part in parts), end))


def _part(name: str, media_type: str, data: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
    return f"{head}Content-Type: {media_type}\r\n\r\n".encode() + data + b"\r\n"
