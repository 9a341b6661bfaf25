"""Writer of DICOM objects: a result and the file that it belongs to become a list of files.

The encoders import highdicom, which takes seconds, so they are loaded with the first object, or by
`warm_up` before it. A side that is not known is taken out of every name first: no object names or
codes the left of an image whose left is unknown, or only assumed unless the site has chosen so.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from radiograph.limits import DEFAULT_LIMITS, Limits
from radiograph.manifest import Task
from radiograph.postprocess.grounding import Grounding, PhraseBox
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.preprocess import PreprocessSpec
from radiograph.terminology.codes import CODES, has_side
from service.decoding.decode import ImageFacts
from service.dicom_results import source as source_header
from service.dicom_results.kinds import EncodedObject, ObjectKind
from service.dicom_results.objects import codes
from service.dicom_results.objects.identity import DerivedUids
from service.dicom_results.options import DicomResultOptions
from service.dicom_results.source import Moment, SourceHeader
from service.errors import NoDicomObject
from service.inference.results import AnalysisResult, ModelIdentity

Named = TypeVar("Named", Mask, Detection, Finding)

_SIDES = {"left", "right"}
_WARM_UP_SIDE = 16


def write(
    result: AnalysisResult,
    source: SourceHeader,
    kinds: Sequence[ObjectKind],
    options: DicomResultOptions,
) -> tuple[EncodedObject, ...]:
    """Write a result as DICOM objects. Blocks.

    Args:
        result: the result; an overlay needs its preview.
        source: header of the radiograph.
        kinds: kinds of objects; those that the result has nothing for are left out.
        options: choices of the site.

    Raises:
        NoDicomObject: the result has nothing for any of the kinds.
    """
    from service.dicom_results.objects.composition import Composition

    if not options.codes_sides(result.image.laterality):
        result = _without_sides(result)
    made = tuple(
        _encoders()[kind](
            Composition(
                kind, result, source, options, DerivedUids.of(kind, result, source, options)
            )
        )
        for kind in kinds
        if _has(result, kind)
    )
    if not made:
        raise NoDicomObject("the result has nothing that the selected DICOM objects could hold")
    return made


def write_for(
    result: AnalysisResult,
    data: bytes,
    kinds: Sequence[ObjectKind],
    options: DicomResultOptions,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[EncodedObject, ...]:
    """Write a result as DICOM objects in the study of a file. Blocks.

    Args:
        data: bytes of the file that was analysed.

    Raises:
        NoDicomObject: the file is not DICOM, or the result has nothing for any of the kinds.
    """
    return write(result, source_header.read(data, limits), kinds, options)


def tasks_of(result: AnalysisResult) -> tuple[Task, ...]:
    """Return the tasks that a result answers."""
    answers = {
        Task.CLASSIFY: result.findings,
        Task.SEGMENT: result.masks,
        Task.DETECT: result.detections,
        Task.GROUND: result.groundings,
    }
    return tuple(task for task, answer in answers.items() if answer is not None)


def first(result: AnalysisResult, kinds: Sequence[ObjectKind]) -> tuple[ObjectKind, ...]:
    """Return the first of several kinds that a result has something for, or none."""
    return tuple(kind for kind in kinds if _has(result, kind))[:1]


@functools.cache
def warm_up() -> None:
    """Import highdicom and write one object of each kind, so that the first request is fast."""
    uids = ("1.2.840.10008.5.1.4.1.1.1", "1.2.3.4", "1.2.3.5", "1.2.3.6")
    header = SourceHeader(*uids, {}, (), Moment("20000101", "000000", ""))
    write(_blank_result(), header, tuple(ObjectKind), DicomResultOptions())


@functools.cache
def _encoders() -> Mapping[ObjectKind, Callable[..., EncodedObject]]:
    from service.dicom_results.objects import (
        presentation_states,
        reports,
        secondary_captures,
        segmentations,
    )

    return {
        ObjectKind.SEG: segmentations.masks,
        ObjectKind.SR_BOXES: reports.boxes,
        ObjectKind.SR_FINDINGS: reports.findings,
        ObjectKind.HEATMAP: segmentations.heat_maps,
        ObjectKind.GSPS: presentation_states.presentation_state,
        ObjectKind.SC: secondary_captures.secondary_capture,
    }


def _has(result: AnalysisResult, kind: ObjectKind) -> bool:
    """Return whether a result has something that an object of a kind can hold."""
    match kind:
        case ObjectKind.SEG:
            return bool(result.masks)
        case ObjectKind.SR_BOXES:
            return result.detections is not None or result.groundings is not None
        case ObjectKind.SR_FINDINGS:
            return bool(result.findings)
        case ObjectKind.HEATMAP:
            return bool(result.groundings)
        case ObjectKind.GSPS:  # it applies to grayscale images only (PS3.3 section A.33.1)
            boxes = bool(result.detections) or any(item.boxes for item in result.groundings or ())
            return boxes and result.image.photometric_interpretation.startswith("MONOCHROME")
        case ObjectKind.SC:
            return result.preview is not None


def _without_sides(result: AnalysisResult) -> AnalysisResult:
    """Return a result whose names and codes state no side; phrases stay as they were sent."""
    return replace(
        result,
        findings=_sideless(result.findings),
        masks=_sideless(result.masks),
        detections=_sideless(result.detections),
    )


def _sideless(items: tuple[Named, ...] | None) -> tuple[Named, ...] | None:
    if items is None:
        return None
    return tuple(_without_side(item) if has_side(item.name) else item for item in items)


def _without_side(item: Named) -> Named:
    """Return an item without a side; its code stated one too."""
    words = item.name.replace("_", " ").split()
    name = " ".join(word for word in words if word.lower() not in _SIDES).capitalize()
    code = CODES.get(name) or codes.without_side(item.code)
    return replace(item, name=name or "Side", code=code)


def _blank_result() -> AnalysisResult:
    """Return a small result with an item of each kind."""
    side = _WARM_UP_SIDE
    box = (2.0, 2.0, 8.0, 8.0)
    mask = np.zeros((side, side), dtype=np.bool_)
    heat = np.zeros((2, 2), dtype=np.float32)
    lung = CODES["Left lung"]
    return AnalysisResult(
        model=ModelIdentity("warm-up", 1, "0" * 64),
        preprocess=PreprocessSpec(),
        image=ImageFacts(rows=side, columns=side),
        warnings=(),
        out_of_domain=None,
        timings_ms={},
        preview=np.zeros((side, side), dtype=np.uint8),
        findings=(Finding("Pneumonia", CODES["Pneumonia"], 0.5, 0.5, positive=True),),
        masks=(Mask("Left lung", lung, mask, 0, None, None),),
        measurements=(),
        detections=(Detection("Left lung", lung, 0.5, box),),
        groundings=(Grounding("lung", "aligned", 0.5, heat, None, (PhraseBox(box, 0.5),)),),
    )
