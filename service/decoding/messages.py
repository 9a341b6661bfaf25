"""Messages between the service and its decoder processes."""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from radiograph import errors
from radiograph.errors import InputError, MalformedInput
from service.decoding.decode import DecodedImage, DecodeRequest, ImageFacts

MAX_MESSAGE_BYTES = 128 * 1024
"""Of one order or reply; the pixels travel in the memory file."""


def _leave(decoded: DecodedImage, memory: int) -> dict[str, Any]:
    """Write the arrays one after the other; what is left fits into a message."""
    tensor = np.ascontiguousarray(decoded.tensor, dtype=np.float32)
    _write(memory, tensor, 0)
    if decoded.preview is not None:
        _write(memory, np.ascontiguousarray(decoded.preview), tensor.nbytes)
    return {
        "tensor": tensor.shape,
        "preview": None if decoded.preview is None else decoded.preview.shape,
        "geometry": dataclasses.asdict(decoded.geometry),
        "image": dataclasses.asdict(decoded.image),
        "timings_ms": decoded.timings_ms,
    }


def _write(memory: int, values: np.ndarray[Any, Any], at: int) -> None:
    view = values.reshape(-1).view(np.uint8).data
    while view:
        written = os.pwrite(memory, view, at)
        view, at = view[written:], at + written


def _message(order: DecodeRequest) -> bytes:
    return json.dumps(
        {
            "bytes": len(order.data),
            "media_type": order.media_type,
            "spec": order.spec.model_dump(),
            "limits": dataclasses.asdict(order.limits),
            "preview_px": order.preview_px,
        }
    ).encode()


def input_error(name: str, message: str) -> InputError:
    """The error of that name; a worker that was taken over cannot make up another kind."""
    kind = getattr(errors, name, MalformedInput)
    is_input_error = isinstance(kind, type) and issubclass(kind, InputError)
    return kind(message) if is_input_error else MalformedInput(message)


def _facts(image: dict[str, Any]) -> ImageFacts:
    spacing = image.pop("spacing_mm")
    warnings = tuple(image.pop("warnings"))
    spacing_mm = None if spacing is None else (spacing[0], spacing[1])
    return ImageFacts(spacing_mm=spacing_mm, warnings=warnings, **image)
