"""Decoding: from the bytes of one file to the model's input and the facts of the answer.

    bytes --DICOM or raster reader--> Radiograph --preprocess--> tensor + Geometry
                                          |--> facts, and a small preview if an overlay is requested
                                          '--> displayed pixels, if a viewer asks for them

The source pixels are the largest part of a request. They are dropped here, because no later step
reads them. Decoder processes import this module, so it imports neither web framework nor runtime.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.geometry import Geometry
from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.image import Laterality, Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits
from radiograph.preprocess import ModelInput, PreprocessSpec, normalise, to_input
from radiograph.readers.read import read
from radiograph.study import StudyIdentity


@dataclass(frozen=True)
class DecodeRequest:
    """One file to decode.

    Attributes:
        data: bytes of the file.
        media_type: one of `MEDIA_TYPES`; `UNKNOWN` is resolved from the bytes.
        spec: preprocessing of the pixels into the model's input.
        limits: bounds on the file.
        preview_px: longest side of the preview for an overlay, or None for no preview.
        pixels_px: longest side of the displayed pixels for a viewer, or None for none.
    """

    data: bytes = field(repr=False)
    media_type: str
    spec: PreprocessSpec
    limits: Limits = DEFAULT_LIMITS
    preview_px: int | None = None
    pixels_px: int | None = None


@dataclass(frozen=True)
class ImageFacts:
    """Facts of a radiograph other than its pixels; the fields are those of `Radiograph`."""

    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None = None
    aspect_ratio: tuple[float, float] | None = None
    photometric_interpretation: str = "MONOCHROME2"
    view_position: str | None = None
    sop_instance_uid: str | None = None
    orientation: Orientation = UPRIGHT
    laterality: Laterality = "assumed"
    study: StudyIdentity | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class DisplayedPixels:
    """The whole image as the file displays it, for a viewer.

    Attributes:
        pixels: h x w, uint16; 0 is displayed black and 65535 white. Scaled down by areas where the
            source is larger than what was asked for.
        black, white: pixels that the model sees as black and as white, 0 to 65535; equal if the
            image is flat.
    """

    pixels: NDArray[np.uint16]
    black: float
    white: float


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """One decoded file.

    Attributes:
        tensor: 1 x size x size, float32, the model's input.
        geometry: mapping from the model's grid to source pixels.
        image: facts of the radiograph.
        preview: h x w, uint8, 0 is black; the whole image, scaled down, or None.
        timings_ms: milliseconds of the stages `read` and `preprocess`.
        displayed: the displayed pixels, or None.
    """

    tensor: NDArray[np.float32]
    geometry: Geometry
    image: ImageFacts
    preview: NDArray[np.uint8] | None
    timings_ms: dict[str, float]
    displayed: DisplayedPixels | None = None


Decoder = Callable[[DecodeRequest], DecodedImage]


def decode(request: DecodeRequest) -> DecodedImage:
    """Decode one file in this thread.

    Raises:
        InputError: the bytes are not a radiograph, or not of the given media type.
    """
    start = time.perf_counter()
    radiograph = read(request.data, request.media_type, request.limits)
    middle = time.perf_counter()
    placed = to_input(radiograph, request.spec)
    tensor = normalise(placed.grid, request.spec)[None]
    small = None
    if request.preview_px is not None:
        small = preview(gray_levels(radiograph, placed), request.preview_px)
    displayed = None
    if request.pixels_px is not None:
        pixels = _reduced(radiograph.pixels, request.pixels_px)
        displayed = DisplayedPixels(pixels, placed.black, placed.white)
    end = time.perf_counter()
    timings = {"read": (middle - start) * 1e3, "preprocess": (end - middle) * 1e3}
    return DecodedImage(tensor, placed.geometry, _facts(radiograph), small, timings, displayed)


def gray_levels(radiograph: Radiograph, placed: ModelInput) -> NDArray[np.uint8]:
    """Return the image with the black and the white that the model sees.

    Args:
        radiograph: the image; its padding is black.
        placed: the same image as the input of the model. If that is flat, the levels are those
            that the file declares.

    Returns:
        rows x columns, uint8, 0 is black.
    """
    black, white = placed.black, placed.white
    if not white > black:
        black, white = 0.0, 65535.0
    levels = (radiograph.table.pixels.astype(np.float32) - black) * (255 / (white - black))
    return radiograph.look_up(np.rint(levels.clip(0, 255)).astype(np.uint8))


def preview(levels: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    """Scale a gray image down until its longest side is at most `max_side_px`."""
    gray = Image.fromarray(levels)
    size = _size_within(gray.size, max_side_px)
    if size != gray.size:
        gray = gray.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(gray)


def _reduced(pixels: NDArray[np.uint16], max_side_px: int) -> NDArray[np.uint16]:
    """Average the areas of an image until its longest side is at most `max_side_px`."""
    image = Image.fromarray(pixels)
    size = _size_within(image.size, max_side_px)
    return pixels if size == image.size else np.asarray(image.resize(size, Image.Resampling.BOX))


def _size_within(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Return a width and height scaled down until neither is over `max_side_px`."""
    scale = min(1.0, max_side_px / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def _facts(radiograph: Radiograph) -> ImageFacts:
    return ImageFacts(
        rows=radiograph.rows,
        columns=radiograph.columns,
        spacing_mm=radiograph.spacing_mm,
        aspect_ratio=radiograph.aspect_ratio,
        photometric_interpretation=radiograph.photometric_interpretation,
        view_position=radiograph.view_position,
        sop_instance_uid=radiograph.sop_instance_uid,
        orientation=radiograph.orientation,
        laterality=radiograph.laterality,
        study=radiograph.study,
        warnings=radiograph.warnings,
    )
