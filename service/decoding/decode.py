"""Reading: the bytes of one file -> what the model and the answer need of it.

    bytes --dicom | raster--> Radiograph --preprocess--> tensor + Geometry
                                   '--> facts, and a small picture where an overlay is asked for

The pixels end here: they are the largest thing in a request, and nothing after it reads them.
Imported by the decoder processes, so nothing of the web or of a runtime is imported here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry import Geometry
from radiograph.image import Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import read


@dataclass(frozen=True)
class DecodeRequest:
    """One file to read.

    Attributes:
        data: its bytes.
        media_type: one of `MEDIA_TYPES`; `UNKNOWN` is found out from the bytes.
        spec: how pixels become the model's input.
        limits: what the file may cost.
        preview_px: longest side of the picture for an overlay, or None for no picture.
    """

    data: bytes = field(repr=False)
    media_type: str
    spec: PreprocessSpec
    limits: Limits = DEFAULT_LIMITS
    preview_px: int | None = None


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a radiograph beside its pixels; the fields are those of `Radiograph`."""

    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None = None
    photometric_interpretation: str = "MONOCHROME2"
    view_position: str | None = None
    sop_instance_uid: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """One file that was read.

    Attributes:
        tensor: 1 x size x size, float32, the model's input.
        geometry: the way back to source pixels.
        image: what else is known of it.
        preview: h x w, uint8, 0 black; the whole image, reduced, or None.
        timings_ms: `read` and `preprocess`.
    """

    tensor: NDArray[np.float32]
    geometry: Geometry
    image: ImageFacts
    preview: NDArray[np.uint8] | None
    timings_ms: dict[str, float]


Reader = Callable[[DecodeRequest], DecodedImage]


def decode(order: DecodeRequest) -> DecodedImage:
    """Read one file in this thread.

    Raises:
        InputError: the bytes are no radiograph, or not of the type that was said.
    """
    start = time.perf_counter()
    radiograph = read(order.data, order.media_type, order.limits)
    middle = time.perf_counter()
    tensor, geometry = preprocess(radiograph, order.spec)
    picture = None if order.preview_px is None else preview(radiograph.pixels, order.preview_px)
    end = time.perf_counter()
    timings = {"read": (middle - start) * 1e3, "preprocess": (end - middle) * 1e3}
    return DecodedImage(tensor, geometry, _facts(radiograph), picture, timings)


def preview(pixels: NDArray[np.uint16], max_side_px: int) -> NDArray[np.uint8]:
    """Pixels as a gray picture, its longest side at most `max_side_px`, aspect kept."""
    rows, columns = pixels.shape
    gray = Image.fromarray((pixels >> 8).astype(np.uint8))
    scale = min(1.0, max_side_px / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    if size != gray.size:
        gray = gray.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(gray)


def _facts(radiograph: Radiograph) -> ImageFacts:
    return ImageFacts(
        rows=radiograph.rows,
        columns=radiograph.columns,
        spacing_mm=radiograph.spacing_mm,
        photometric_interpretation=radiograph.photometric_interpretation,
        view_position=radiograph.view_position,
        sop_instance_uid=radiograph.sop_instance_uid,
        warnings=radiograph.warnings,
    )
