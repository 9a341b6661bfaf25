"""Reader of DICOM files.

    bytes --part10--> transfer syntax, attributes
          --accept--> one grayscale projection radiograph, within the limits
          --codecs--> stored samples --sample_layout--> meaning of their bits
          --display--> samples and table, shutter
          --header_warnings, patient_orientation, pixel_spacing--> warnings, sides, millimetres

Warnings have the form `code: message`. The codes are listed in `header_warnings`,
`patient_orientation`, `pixel_spacing`, `sample_layout`, `codecs.jpeg.damage` and below; those of
`display` name the attribute that could not be applied.

    modality_unstated          the header names no modality; SOP class, body part or view tell it
    transfer_syntax_assumed    the file is a bare data set in implicit VR, without file meta
    excess_pixel_data          there are more pixel data than one frame needs

An object counts as a radiograph if Modality (0008,0060) is CR, DX or RG, whatever its SOP class,
because real archives hold radiographs as secondary captures too. RF, XA, MG, IO and PX are
projections as well, but of other kinds than those that the models were trained on. OT, words such
as DR that are no terms of the standard, and an absent modality are no evidence. The SOP class then
decides, of the data set or else of the file meta information: CR and DX are radiographs, while a
secondary capture, of one frame or of the kinds for several, may be a scanned letter and is accepted
only if the header names the chest or a PA or AP view. Either gives a warning.

An RGB or YBR image is read if all its pixels are gray, as a PNG file is, and an image with a
palette if that is gray.
"""

from dataclasses import dataclass, replace

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments

from radiograph.errors import (
    ColourImage,
    MalformedInput,
    MultiFrameImage,
    NoPixelData,
    UndecodablePixels,
    UnusableImage,
    WrongModality,
)
from radiograph.image import Radiograph, Samples
from radiograph.limits import DEFAULT_LIMITS, Limits, as_malformed_input
from radiograph.readers import part10
from radiograph.readers.codecs.decode import EXCESS_PIXEL_DATA, decode
from radiograph.readers.codecs.frame import DecodedFrame
from radiograph.readers.codecs.transfer_syntaxes import NATIVE
from radiograph.readers.display.grayscale import SampleLayout, render
from radiograph.readers.display.palettes import gray_palette
from radiograph.readers.display.shutters import read_shutter
from radiograph.readers.gray_colour import COLOUR_SPACES, ColourLayout
from radiograph.readers.header.attributes import Attributes, quiet_pydicom
from radiograph.readers.header.header_warnings import header_warnings, names_chest
from radiograph.readers.header.patient_orientation import patient_orientation
from radiograph.readers.header.pixel_spacing import pixel_spacing
from radiograph.readers.header.study import study_identity
from radiograph.readers.header.view import View, read_view
from radiograph.readers.sample_layout import BitFields, sample_layout

_RADIOGRAPH_MODALITIES = {"CR", "DX", "RG"}
_UNSTATED_MODALITIES = {"", "OT", "UNKNOWN", "DR", "XR", "RX", "XRAY", "X-RAY", "CXR", "SC"}
"""Values that say nothing. Real files have those after OT, but they are no defined terms."""
_RADIOGRAPH_CLASSES = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
}
_CAPTURE_CLASSES = {
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
}
_PALETTE = "PALETTE COLOR"
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_MODALITY_UNSTATED = (
    "modality_unstated: the header names no modality; taken for a radiograph by its SOP class, "
    "body part or view"
)
_TRANSFER_SYNTAX_ASSUMED = (
    "transfer_syntax_assumed: the file has no file meta information; read as Implicit VR Little "
    "Endian, the default of DICOM"
)
_CODESTREAM_STARTS = (
    b"\xff\xd8\xff",  # JPEG and JPEG-LS
    b"\xff\x4f\xff\x51",  # JPEG 2000
    b"\0\0\0\x0cjP  ",  # JPEG 2000 in a JP2 container
    *(bytes([segments, 0, 0, 0, 64, 0, 0, 0]) for segments in range(1, 16)),  # RLE
)
"""First bytes of a frame. A Basic Offset Table starts with the offset 0 of the first frame."""
_NO_ATTRIBUTES = Attributes(Dataset(), little_endian=True)


@dataclass(frozen=True)
class _Frame:
    """The Image Pixel module (PS3.3 section C.7.6.3) of one acceptable frame."""

    rows: int
    columns: int
    bits: BitFields
    photometric_interpretation: str
    colour: ColourLayout | None

    @property
    def is_monochrome(self) -> bool:
        """True if samples are gray values, and no colours or indices of a palette."""
        return self.colour is None and self.photometric_interpretation != _PALETTE

    @property
    def sample_count(self) -> int:
        """Number of stored samples without compression."""
        per_pixel = 1 if self.colour is None else self.colour.samples_for_pixel
        return self.rows * self.columns * per_pixel

    @property
    def size_bytes(self) -> int:
        """Length of the frame without compression."""
        return self.sample_count * self.bits.allocated // 8


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Radiograph:
    """Read one chest radiograph from a DICOM file.

    Args:
        data: the file (PS3.10).
        limits: what the file may cost; checked before anything is inflated or decoded.

    Raises:
        MalformedInput: the file is not DICOM, or broken.
        UndecodablePixels: the pixel data are damaged, or not what the header says.
        InputTooLarge: the file has more bytes, elements or pixels than allowed.
        UnsupportedEncoding: the transfer syntax is missing, unknown, or has no decoder.
        WrongModality: the object is not a projection radiograph.
        NoPixelData: the object holds no image.
        MultiFrameImage: the object holds more than one frame.
        ColourImage: the image is in colour.
        UnusableImage: the pixels are not those of a radiograph, such as floating point.
    """
    with as_malformed_input("the file cannot be read as DICOM"):
        header, meta = part10.parse(data, limits)
        view = read_view(header)
        sop_class = header.text("SOPClassUID") or meta.sop_class
        accepted = _accept(header, sop_class, view)
        frame = _frame(header, limits)
        stored, layout, stored_warnings = _stored(header, meta.transfer_syntax, frame)
        inverted = frame.photometric_interpretation == "MONOCHROME1"
        # Windows and LUTs apply to monochrome images only (PS3.3 section C.11.2).
        grayscale = header if frame.is_monochrome else _NO_ATTRIBUTES
        samples, table, rendered = render(stored, layout, grayscale, inverted=inverted)
        shutter, shuttered = read_shutter(header, frame.rows, frame.columns)
        spacing_mm, aspect_ratio, spacing = pixel_spacing(header)
        orientation, laterality, turned = patient_orientation(header, lateral=view.is_lateral)
        return Radiograph(
            samples=samples,
            table=table,
            spacing_mm=spacing_mm,
            aspect_ratio=aspect_ratio,
            photometric_interpretation=frame.photometric_interpretation,
            view_position=view.position,
            sop_instance_uid=header.uid("SOPInstanceUID"),
            orientation=orientation,
            laterality=laterality,
            shutter=shutter,
            study=study_identity(header),
            warnings=(
                *((_TRANSFER_SYNTAX_ASSUMED,) if meta.assumed else ()),
                *accepted,
                *header_warnings(header, view, sop_class),
                *turned,
                *rendered,
                *shuttered,
                *stored_warnings,
                *spacing,
            ),
        )


def _accept(header: Attributes, sop_class: str, view: View) -> tuple[str, ...]:
    """Refuse what is not one grayscale radiograph; return a warning if the modality is unstated."""
    if not any(keyword in header for keyword in _PIXEL_KEYWORDS):
        raise NoPixelData("the object holds no image")
    warnings = _accept_modality(header, sop_class, view)
    if "PixelData" not in header:
        raise UnusableImage("floating point pixels are not a radiograph's")
    if (frames := _frames(header)) > 1:
        raise MultiFrameImage(f"{frames} frames; one is read")
    photometric = header.text("PhotometricInterpretation")
    if not photometric:
        raise MalformedInput("Photometric Interpretation is missing")
    samples = header.word("SamplesPerPixel")
    has_one_sample = photometric.startswith("MONOCHROME") or photometric == _PALETTE
    is_monochrome = has_one_sample and samples in (1, None)
    if not is_monochrome and (samples != 3 or photometric not in COLOUR_SPACES):
        raise ColourImage("the image is in colour")
    return warnings


def _accept_modality(header: Attributes, sop_class: str, view: View) -> tuple[str, ...]:
    """Refuse an object that is not a radiograph, as the module's docstring defines it."""
    modality = header.text("Modality")
    if modality in _RADIOGRAPH_MODALITIES:
        return ()
    is_evidence = sop_class in _RADIOGRAPH_CLASSES or (
        sop_class in _CAPTURE_CLASSES and (names_chest(header) or view.is_stated_frontal)
    )
    if modality in _UNSTATED_MODALITIES and is_evidence:
        return (_MODALITY_UNSTATED,)
    raise WrongModality("the image is not a projection radiograph (CR, DX or RG)")


def _frames(header: Attributes) -> int:
    """Return Number of Frames (0028,0008); absent, empty and 0 mean one."""
    text = header.text("NumberOfFrames") or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise MalformedInput("Number of Frames is no number")
    return max(int(text), 1)


def _frame(header: Attributes, limits: Limits) -> _Frame:
    """Read the Image Pixel module and check it against the limits and for contradictions."""
    rows, columns = header.word("Rows") or 0, header.word("Columns") or 0
    limits.check_pixels(rows, columns)
    allocated = header.word("BitsAllocated") or 0
    if allocated in (1, 12, 24, 32, 64):  # 12 bits are packed in old files
        raise UnusableImage(f"{allocated} bits allocated; a radiograph has 8 or 16")
    if allocated not in (8, 16):
        raise MalformedInput(f"{allocated} bits allocated")
    stored = header.word("BitsStored") or allocated
    if stored > allocated:
        raise MalformedInput(f"{stored} bits stored in {allocated} allocated")
    high_bit = header.word("HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        # Some writers give a wrong High Bit; the value then lies in the lowest bits.
        high_bit = stored - 1
    photometric = header.text("PhotometricInterpretation")
    planar = header.word("PlanarConfiguration") == 1
    is_colour = photometric in COLOUR_SPACES
    return _Frame(
        rows=rows,
        columns=columns,
        bits=BitFields(
            allocated=allocated,
            stored=stored,
            high_bit=high_bit,
            signed=header.word("PixelRepresentation") == 1,
            padding=header.word("PixelPaddingValue"),
        ),
        photometric_interpretation=photometric,
        colour=ColourLayout(photometric, planar, stored) if is_colour else None,
    )


def _stored(
    header: Attributes, transfer_syntax: str, frame: _Frame
) -> tuple[Samples, SampleLayout, tuple[str, ...]]:
    """Return the bit patterns of the frame, their layout, and warnings about them."""
    raw = header.raw("PixelData")
    native = transfer_syntax in NATIVE
    if native == header.is_encapsulated("PixelData"):
        raise UndecodablePixels("the pixel data do not fit the transfer syntax")
    if native:
        samples = _native_samples(header, transfer_syntax, frame, raw)
        decoded = DecodedFrame(samples)
        if len(raw) > frame.size_bytes + 1:
            decoded = DecodedFrame(samples, warnings=(EXCESS_PIXEL_DATA,))
    else:
        decoded = decode(
            transfer_syntax,
            _codestream(bytes(raw)),
            frame.rows,
            frame.columns,
            frame.bits.allocated,
            samples_per_pixel=1 if frame.colour is None else 3,
        )
        if frame.colour is not None:
            gray = frame.colour.gray_of_decoded(decoded.samples)
            decoded = replace(decoded, samples=gray)
    layout, contradictions = sample_layout(decoded.samples, frame.bits, decoded.header)
    samples, warnings = decoded.samples, (*decoded.warnings, *contradictions)
    if frame.photometric_interpretation == _PALETTE:
        samples = gray_palette(header)[layout.ordered(samples)]
        layout = SampleLayout(bits_allocated=16, bits=16, shift=0, signed=False)
    return samples, layout, warnings


def _codestream(raw: bytes) -> bytes:
    """Join the fragments of the only frame.

    The Basic Offset Table is ignored: all fragments belong to the one frame, and some writers
    give it an entry for each fragment. Others leave it out, and start with the codestream.

    Source: DICOM PS3.5 section A.4.
    """
    with (
        quiet_pydicom(),
        as_malformed_input("the pixel data are not well encapsulated", UndecodablePixels),
    ):
        table, *fragments = generate_fragments(raw)
        return b"".join((table, *fragments) if table.startswith(_CODESTREAM_STARTS) else fragments)


def _native_samples(
    header: Attributes, transfer_syntax: str, frame: _Frame, raw: bytes | memoryview
) -> Samples:
    """Read uncompressed samples, whose bytes may be swapped.

    Source: DICOM PS3.5 section 8.1.1 and annex D.

    Returns:
        rows x columns bit patterns, uint8 or uint16 in native byte order.
    """
    if len(raw) < frame.size_bytes:
        raise UndecodablePixels(f"{len(raw)} bytes of pixel data; {frame.size_bytes} are needed")
    big_endian = transfer_syntax == uid.ExplicitVRBigEndian
    if frame.bits.allocated == 16:
        words = np.frombuffer(raw, ">u2" if big_endian else "<u2", frame.sample_count)
        return _shaped(words.astype(np.uint16, copy=False), frame)
    samples = np.frombuffer(raw, np.uint8)
    if big_endian and header.vr("PixelData") == "OW":  # two 8-bit samples in each 16-bit word
        samples = samples[: samples.size // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    if samples.size < frame.size_bytes:
        raise UndecodablePixels("the pixel data end within a word")
    return _shaped(samples[: frame.size_bytes], frame)


def _shaped(samples: Samples, frame: _Frame) -> Samples:
    """Arrange samples in the order of storage as rows x columns, of colour their gray values."""
    if frame.colour is not None:
        return frame.colour.gray(samples, frame.rows, frame.columns)
    return samples.reshape(frame.rows, frame.columns)
