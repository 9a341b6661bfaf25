"""Grayscale Softcopy Presentation State: the boxes as graphics over the radiograph.

The state repeats the display of the source, because it replaces it: rescaling, window unless it
does not fit the pixels, and for MONOCHROME1 the inversion.

Source: DICOM PS3.3 section A.33.1, C.10.5 and C.11.6.
"""

from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset

from service.dicom_results.kinds import EncodedObject
from service.dicom_results.objects.boxes import LabelledBox, boxes_of
from service.dicom_results.objects.codes import shortened
from service.dicom_results.objects.composition import Composition, item_of, put, put_all, put_chest
from service.dicom_results.source import Lut, SourceHeader

_MAX_TEXT = 200


def presentation_state(composition: Composition) -> EncodedObject:
    """Return the state that draws every box with its label; there is at least one box."""
    reference, found = composition.reference(), boxes_of(composition.result)
    source = composition.source
    inverted = composition.result.image.photometric_interpretation == "MONOCHROME1"
    layer = GraphicLayer("AI", order=1, description=None, display_color=None)
    made = GrayscaleSoftcopyPresentationState(
        referenced_images=[reference],
        content_label="AI_BOXES",
        graphic_annotations=[_annotation(reference, layer, item) for item in found],
        graphic_layers=[layer],
        presentation_lut_transformation=PresentationLUTTransformation(
            "INVERSE" if inverted else "IDENTITY"
        ),
        **composition.identifying,
    )
    _set_aspect(composition, made)
    _set_display(source, made, voi_unusable=_has_unusable_voi(composition))
    put_chest(made)
    return composition.encode(made, *(item.label for item in found))


def _annotation(reference: Dataset, layer: GraphicLayer, item: LabelledBox) -> GraphicAnnotation:
    outline = GraphicObject("POLYLINE", item.outline, units="PIXEL")
    label = TextObject("-", units="PIXEL", anchor_point=_anchor(item), anchor_point_visible=False)
    put(label, "UnformattedTextValue", f"{shortened(item.label, _MAX_TEXT)} {item.probability:.0%}")
    return GraphicAnnotation([reference], layer, graphic_objects=[outline], text_objects=[label])


def _anchor(item: LabelledBox) -> tuple[float, float]:
    """Return the top left corner of a box."""
    return float(item.outline[0, 0]), float(item.outline[0, 1])


def _has_unusable_voi(composition: Composition) -> bool:
    """Return whether the reader found that the VOI LUT or window does not fit the pixels."""
    return any(warning.startswith("voi_unusable:") for warning in composition.result.image.warnings)


def _set_display(source: SourceHeader, dataset: Dataset, *, voi_unusable: bool) -> None:
    """Repeat the rescaling of the source, and its table or else its window.

    A table or window that shows nothing is left out, so that a viewer displays the range of the
    pixels.
    """
    if source.rescale is not None:
        slope, intercept = source.rescale
        rescale = {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "US"}
        put_all(dataset, rescale)
    if voi_unusable:
        return
    if source.voi_lut is not None:
        voi = item_of(VOILUTSequence=[_table(source.voi_lut)])
    elif source.window is not None:
        center, width = source.window
        voi = item_of(WindowCenter=center, WindowWidth=width)
        put(voi, "VOILUTFunction", source.window_function or None)
    else:
        return
    dataset.SoftcopyVOILUTSequence = [voi]


def _table(lut: Lut) -> Dataset:
    """Return an item of a sequence of tables."""
    item = item_of(LUTData=lut.entries)
    descriptor = [len(lut.entries) // 2 % 2**16, lut.first, 16]
    item.add_new("LUTDescriptor", "US", descriptor)
    return item


def _set_aspect(composition: Composition, dataset: Dataset) -> None:
    """State the spacing, or else the aspect ratio, of pixels that are not square."""
    image = composition.result.image
    spacing, ratio = image.spacing_mm, image.aspect_ratio
    (area,) = dataset.DisplayedAreaSelectionSequence
    if spacing is None and ratio is not None:
        put(area, "PresentationPixelAspectRatio", [round(side) for side in ratio])
    if spacing is None or spacing[0] == spacing[1]:
        return
    put(area, "PresentationPixelAspectRatio", None)
    put(area, "PresentationPixelSpacing", list(spacing))
