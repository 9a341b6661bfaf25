"""Segmentations: the masks of a result, and its heat maps as probabilities.

    highdicom describes segments and frames for a blank image --> size and pixels of the source

The blank image keeps highdicom from copying and checking every pixel several times; NumPy packs
the masks. A projection radiograph has no position in space, so geometry is nominal: spacing of the
detector or 1 mm, slices of 1 mm, axes of the image, and the origin as the position of each frame.

Source: DICOM PS3.3 section A.51, C.8.20; PS3.5 section 8.2 and annex D.
"""

from collections.abc import Sequence
from typing import Any

import highdicom
import numpy as np
from highdicom.content import (
    AlgorithmIdentificationSequence,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import Encoder, JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from service.decoding.decode import ImageFacts
from service.dicom_results.kinds import EncodedObject
from service.dicom_results.objects import codes
from service.dicom_results.objects.codes import Concept, concept_of, shortened
from service.dicom_results.objects.composition import (
    Composition,
    put,
    put_all,
    put_chest,
    put_private_scheme,
)

_PROBABILITY_STEPS = 255
_NOMINAL_MM = 1.0
_ORIGIN = [0.0, 0.0, 0.0]
_AXES = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167))
_MAX_DESCRIPTION = 1024
"""Characters of Segment Description (0062,0006), of VR ST."""


def masks(composition: Composition) -> EncodedObject:
    """Return the masks as a BINARY Segmentation, or a LABELMAP where that is chosen and possible.

    Every mask is a frame, an empty one too. Masks that overlap cannot be a LABELMAP.
    """
    found = composition.result.masks or ()
    pixels = [mask.mask for mask in found]
    overlap = _overlap(pixels)
    labelmap = composition.options.segmentation_type == "LABELMAP" and not overlap
    concepts = [concept_of(mask.name, mask.code) for mask in found]
    segments = [
        _segment(composition, number, mask.name, concept, "")
        for number, (mask, concept) in enumerate(zip(found, concepts, strict=True), 1)
    ]
    if labelmap:
        made = _described(composition, "LABELMAP", segments, JPEGLSLossless)
        _set_frames(made, [_labels(pixels)], JPEGLSLosslessEncoder)
    else:
        made = _described(composition, "BINARY", segments, ExplicitVRLittleEndian)
        _set_size(made, *pixels[0].shape)
        put(made, "PixelData", _packed(pixels))
    put(made, "SegmentsOverlap", "YES" if overlap else "NO")
    put_private_scheme(made, [concept.code for concept in concepts])
    return composition.encode(made, *(mask.name for mask in found))


def heat_maps(composition: Composition) -> EncodedObject:
    """Return the heat maps as a FRACTIONAL Segmentation, a segment for each phrase."""
    image, found = composition.result.image, composition.result.groundings or ()
    concept = Concept(codes.LOCATED_PHRASE)
    segments = [
        _segment(composition, number, item.phrase, concept, item.phrase)
        for number, item in enumerate(found, 1)
    ]
    made = _described(composition, "FRACTIONAL", segments, RLELossless)
    frames = [_stretched(item.heatmap, image.rows, image.columns) for item in found]
    _set_frames(made, frames, RLELosslessEncoder)
    put(made, "SegmentsOverlap", "YES" if len(found) > 1 else "NO")
    put_private_scheme(made, [concept.code])
    return composition.encode(made, *(item.phrase for item in found))


def _segment(
    composition: Composition, number: int, label: str, concept: Concept, description: str
) -> SegmentDescription:
    """Return the description of one segment, with the side as a modifier of its type."""
    model = composition.result.model
    category = codes.MORPHOLOGICALLY_ALTERED
    if concept.code == codes.LOCATED_PHRASE:
        category = codes.SPATIAL_CONCEPT
    elif concept.is_anatomical:
        category = codes.ANATOMICAL_STRUCTURE
    segment = SegmentDescription(
        segment_number=number,
        segment_label="-",
        segmented_property_category=category,
        segmented_property_type=concept.code,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=shortened(model.name),
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=str(model.version),
            parameters={"digest": composition.algorithm_parameters},
        ),
        tracking_uid=composition.uids.uid(f"segment {number}"),
        tracking_id=f"Segment {number}",
        display_color=highdicom.color.CIELabColor.from_rgb(*_COLOURS[number % len(_COLOURS)]),
    )
    put(segment, "SegmentLabel", shortened(label))
    if description:
        put(segment, "SegmentDescription", shortened(description, _MAX_DESCRIPTION))
    if concept.side is not None:
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        side = CodedConcept.from_code(concept.side)
        kind.SegmentedPropertyTypeModifierCodeSequence = [side]
    return segment


def _spacing(image: ImageFacts) -> list[float]:
    """Return the spacing of the source, or else a nominal one in the shape of its pixels."""
    if image.spacing_mm is not None:
        return list(image.spacing_mm)
    height, width = image.aspect_ratio or (1.0, 1.0)
    return [round(height / width * _NOMINAL_MM, 6), _NOMINAL_MM]


def _described(
    composition: Composition,
    kind: str,
    segments: Sequence[SegmentDescription],
    transfer_syntax: UID,
) -> Dataset:
    """Return a Segmentation of the source whose pixels are still those of a blank image."""
    reference = composition.reference(blank=True)
    shape = (1, reference.Rows, reference.Columns)
    blank = np.zeros(shape if kind == "LABELMAP" else (*shape, len(segments)), dtype=np.uint8)
    spacing = _spacing(composition.result.image)
    geometry = {
        "ImagePositionPatient": _ORIGIN,
        "ImageOrientationPatient": _AXES,
        "PixelSpacing": spacing,
        "SliceThickness": _NOMINAL_MM,
    }
    put_all(reference, geometry)
    made = Segmentation(
        source_images=[reference],
        pixel_array=blank,
        segmentation_type=kind,
        segment_descriptions=segments,
        pixel_measures=PixelMeasuresSequence(spacing, _NOMINAL_MM),
        plane_orientation=PlaneOrientationSequence("PATIENT", _AXES),
        plane_positions=[PlanePositionSequence("PATIENT", _ORIGIN)],
        omit_empty_frames=False,
        max_fractional_value=_PROBABILITY_STEPS,
        transfer_syntax_uid=transfer_syntax,
        content_label=composition.kind.name,
        content_description=None,
        content_creator_name=None,
        **composition.identifying,
    )
    _derive_dimensions(composition, made)
    put(made, "ContentCreatorName", "")
    put_chest(made)
    return made


def _derive_dimensions(composition: Composition, dataset: Dataset) -> None:
    """Replace the Dimension Organization UID, which highdicom draws at random."""
    uid = composition.uids.uid("dimensions")
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset[keyword].value:
            item.DimensionOrganizationUID = uid


def _set_size(dataset: Dataset, rows: int, columns: int) -> None:
    put(dataset, "Rows", rows)
    put(dataset, "Columns", columns)


def _set_frames(dataset: Dataset, frames: Sequence[NDArray[np.uint8]], encoder: Encoder) -> None:
    """Set compressed frames, rows x columns each, as the pixels of a data set."""
    rows, columns = frames[0].shape
    _set_size(dataset, rows, columns)
    layout: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }
    fragments = [encoder.encode(frame.tobytes(), **layout) for frame in frames]
    put(dataset, "PixelData", encapsulate(fragments))
    dataset["PixelData"].is_undefined_length = True


def _overlap(pixels: Sequence[NDArray[np.bool_]]) -> bool:
    """Return whether any pixel belongs to several masks."""
    union = pixels[0].copy()
    for mask in pixels[1:]:
        if (union & mask).any():
            return True
        union |= mask
    return False


def _labels(pixels: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return the number of the segment that each pixel belongs to, 0 for none."""
    labels = np.zeros(pixels[0].shape, dtype=np.uint8)
    for number, mask in enumerate(pixels, 1):
        labels[mask] = number
    return labels


def _packed(pixels: Sequence[NDArray[np.bool_]]) -> bytes:
    """Return frames of single bits, the first pixel lowest, without padding between frames.

    Source: DICOM PS3.5 section 8.1.1.
    """
    bits = np.concatenate([mask.reshape(-1) for mask in pixels])
    packed = np.packbits(bits, bitorder="little").tobytes()
    return packed + b"\0" * (len(packed) % 2)


def _stretched(heatmap: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a heat map, 0 to 1, over the whole source in steps of 1/255."""
    levels = np.rint(heatmap * _PROBABILITY_STEPS).clip(0, _PROBABILITY_STEPS).astype(np.uint8)
    whole = Image.fromarray(levels).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(whole)
