"""DICOM bytes -> Radiograph.

    bytes --part10--> transfer syntax + attributes
          --accept--> is it one grayscale projection radiograph, within the limits?
          --codecs--> stored samples          --grayscale--> pixels as displayed
          --cautions, spacing--> warnings, millimetres

Warnings have the form `code: message`; `cautions`, `spacing` and `grayscale` list the codes.

What is a radiograph: Modality (0008,0060) CR, DX or RG, whatever the SOP class, because real
archives hold them as secondary captures too. RF, XA, MG, IO and PX are projections as well, but
of another kind than the models were trained on. OT, or no modality, says nothing: a secondary
capture may be a scanned letter. It is accepted, with a warning, only if the header names the
chest or a PA or AP view.
"""

from dataclasses import dataclass

import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame

from radiograph.errors import (
    ColourImage,
    MalformedInput,
    MultiFrameImage,
    NoPixelData,
    UnusableImage,
    WrongModality,
)
from radiograph.image import Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits, malformed
from radiograph.readers import codecs, part10
from radiograph.readers.attributes import Attributes, quiet_pydicom
from radiograph.readers.codecs import Samples
from radiograph.readers.grayscale import SampleLayout, render
from radiograph.readers.header_warnings import FRONTAL_VIEWS, cautions, names_chest, view_position
from radiograph.readers.part10 import sniff
from radiograph.readers.pixel_spacing import pixel_spacing

__all__ = ["Limits", "read", "sniff"]

_RADIOGRAPHS = {"CR", "DX", "RG"}
_UNSTATED = {"", "OT"}
_MODALITY_UNSTATED = (
    "modality_unstated: the header names no modality; taken for a radiograph by its body part "
    "or view"
)
_EXCESS = "excess_pixel_data: there are more pixel data than one frame needs"


@dataclass(frozen=True)
class _Frame:
    """The Image Pixel module (PS3.3 section C.7.6.3) of one acceptable frame."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric_interpretation: str

    @property
    def size_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Radiograph:
    """Read one chest radiograph.

    Args:
        data: a DICOM file (PS3.10).
        limits: what it may cost; checked before anything is inflated or decoded.

    Raises:
        MalformedInput: not DICOM, or broken.
        InputTooLarge: more bytes, elements or pixels than the limits allow.
        UnsupportedEncoding: no transfer syntax, an unknown one, or one without a decoder.
        WrongModality: not a projection radiograph.
        NoPixelData: no image in it.
        MultiFrameImage: more than one frame.
        ColourImage: more than one sample per pixel, or a palette.
        UnusableImage: pixels that no radiograph has, such as floating point.
    """
    with malformed("the file cannot be read as DICOM"):
        header, transfer_syntax = part10.parse(data, limits)
        evidence = _accept(header)
        frame = _frame(header, limits)
        stored, layout, excess = _stored(header, transfer_syntax, frame)
        inverted = frame.photometric_interpretation == "MONOCHROME1"
        pixels, shown = render(stored, layout, header, inverted=inverted)
        spacing_mm, measured = pixel_spacing(header)
        return Radiograph(
            pixels=pixels,
            spacing_mm=spacing_mm,
            photometric_interpretation=frame.photometric_interpretation,
            view_position=view_position(header),
            sop_instance_uid=header.uid("SOPInstanceUID"),
            warnings=(*evidence, *cautions(header), *shown, *excess, *measured),
        )


def _accept(header: Attributes) -> tuple[str, ...]:
    """Refuse what is not one grayscale radiograph; warn where the header leaves that open."""
    evidence = _accept_modality(header)
    if "PixelData" not in header:
        if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
            raise UnusableImage("floating point pixels are not a radiograph's")
        raise NoPixelData("the object holds no image")
    if (frames := _frames(header)) > 1:
        raise MultiFrameImage(f"{frames} frames; one is read")
    photometric = header.text("PhotometricInterpretation")
    if not photometric:
        raise MalformedInput("Photometric Interpretation is missing")
    if not photometric.startswith("MONOCHROME") or header.word("SamplesPerPixel") not in (1, None):
        raise ColourImage("the image is in colour or has a palette")
    return evidence


def _accept_modality(header: Attributes) -> tuple[str, ...]:
    modality = header.text("Modality")
    if modality in _RADIOGRAPHS:
        return ()
    if not modality and "PixelData" not in header:
        raise NoPixelData("the object holds no image")
    if (
        modality in _UNSTATED
        and header.text("SOPClassUID") == uid.SecondaryCaptureImageStorage
        and (names_chest(header) or view_position(header) in FRONTAL_VIEWS)
    ):
        return (_MODALITY_UNSTATED,)
    raise WrongModality("the image is not a projection radiograph (CR, DX or RG)")


def _frames(header: Attributes) -> int:
    """Number of Frames (0028,0008); absent, empty and 0 mean one."""
    text = header.text("NumberOfFrames") or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise MalformedInput("Number of Frames is no number")
    return max(int(text), 1)


def _frame(header: Attributes, limits: Limits) -> _Frame:
    """The Image Pixel module, checked against the limits and against itself."""
    rows, columns = header.word("Rows") or 0, header.word("Columns") or 0
    limits.check_pixels(rows, columns)
    allocated = header.word("BitsAllocated") or 0
    if allocated in (1, 24, 32, 64):
        raise UnusableImage(f"{allocated} bits allocated; a radiograph has 8 or 16")
    if allocated not in (8, 16):
        raise MalformedInput(f"{allocated} bits allocated")
    stored = header.word("BitsStored") or allocated
    if stored > allocated:
        raise MalformedInput(f"{stored} bits stored in {allocated} allocated")
    high_bit = header.word("HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1  # some writers leave it wrong; the bits then lie at the bottom
    return _Frame(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=header.word("PixelRepresentation") == 1,
        photometric_interpretation=header.text("PhotometricInterpretation"),
    )


def _stored(
    header: Attributes, transfer_syntax: str, frame: _Frame
) -> tuple[Samples, SampleLayout, tuple[str, ...]]:
    """The bit patterns of the frame, what they mean, and a warning if there was more."""
    shift = frame.high_bit + 1 - frame.bits_stored
    layout = SampleLayout(frame.bits_allocated, frame.bits_stored, shift, frame.signed)
    raw = header.raw("PixelData")
    native = transfer_syntax in codecs.NATIVE
    if native == header.is_encapsulated("PixelData"):
        raise MalformedInput("the pixel data do not fit the transfer syntax")
    if native:
        excess = (_EXCESS,) if len(raw) > frame.size_bytes + 1 else ()
        return _native(header, transfer_syntax, frame, raw), layout, excess
    with quiet_pydicom(), malformed("the pixel data are not well encapsulated"):
        codestream = get_frame(raw, 0, number_of_frames=1)
    samples, precision = codecs.decode(
        transfer_syntax, codestream, frame.rows, frame.columns, frame.bits_allocated
    )
    if precision is not None:
        layout = _decoded_layout(samples, precision, frame)
    return samples, layout, ()


def _decoded_layout(samples: Samples, precision: int, frame: _Frame) -> SampleLayout:
    """A codec gives the value itself, at the bottom of the word and at its own precision.

    Encoders that know no sign store a negative value's bits, with or without extending them to
    their own precision: Bits Stored tells where the sign is. Unsigned values are not cut to
    Bits Stored, which is sometimes too small; bright tissue would come out black.
    """
    bits = min(precision, frame.bits_stored) if frame.signed else precision
    return SampleLayout(samples.dtype.itemsize * 8, bits, 0, frame.signed)


def _native(header: Attributes, transfer_syntax: str, frame: _Frame, raw: bytes) -> Samples:
    """Uncompressed pixel data, whose bytes may be swapped (PS3.5 section 8.1.1 and annex D)."""
    if len(raw) < frame.size_bytes:
        raise MalformedInput(f"{len(raw)} bytes of pixel data; {frame.size_bytes} are needed")
    shape = (frame.rows, frame.columns)
    big_endian = transfer_syntax == uid.ExplicitVRBigEndian
    if frame.bits_allocated == 16:
        words = np.frombuffer(raw, ">u2" if big_endian else "<u2", frame.rows * frame.columns)
        return words.astype(np.uint16, copy=False).reshape(shape)
    samples = np.frombuffer(raw, np.uint8)
    if big_endian and header.vr("PixelData") == "OW":
        samples = samples[: samples.size // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    if samples.size < frame.size_bytes:
        raise MalformedInput("the pixel data end within a word")
    return samples[: frame.size_bytes].reshape(shape)
