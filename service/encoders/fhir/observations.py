"""Observations: each statement of a result as one FHIR resource.

Finding      code: the finding           value: present or absent    probability, threshold
Mask         code: segmented region      value: the structure        area, box
Detection    code: detected region       value: what was detected    score, box
Grounding    code: phrase                value: the phrase           similarity, decision, boxes
Measurement  code: what was measured     value: the number
Notice       code: caution               value: the warning
distance from the training images        value: the number           threshold

Where uncertainty was asked for, findings, masks, detections and phrases have it as components.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeVar

from pydantic_core import to_json

from radiograph.geometry.geometry import Box
from radiograph.manifest import Task
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import NO_UNIT, Measurement
from radiograph.postprocess.uncertainty import Uncertainty
from radiograph.terminology.codes import has_side
from service.encoders.fhir import concepts
from service.encoders.fhir.concepts import Side
from service.encoders.fhir.resources import (
    Annotation,
    CodeableConcept,
    Component,
    Quantity,
    Range,
)
from service.inference.results import AnalysisResult, Notice, OutOfDistributionScore

T = TypeVar("T")
Fields = Mapping[str, Any]
"""Fields of an Observation that its statement determines."""
Statement = tuple[tuple[str, ...], Fields]
"""Name of a statement, which detections of one kind share, and its fields."""


def statements(result: AnalysisResult, *, coded_sides: bool) -> Iterator[Statement]:
    """Yield every statement of a result, in the order of its JSON.

    Args:
        result: the result.
        coded_sides: code left and right; otherwise they are text.
    """
    side = Side(result.image.laterality, coded_sides)
    uncertain = result.uncertainty or {}
    if result.out_of_domain is not None:
        yield ("out_of_domain",), _distance(result.out_of_domain)
    for notice in result.warnings:
        yield ("warning", notice.code, notice.message), _caution(notice)
    for finding, held in _paired(result.findings, uncertain.get(Task.CLASSIFY)):
        yield ("finding", finding.name), _with(_finding(finding, side), held)
    for mask, held in _paired(result.masks, uncertain.get(Task.SEGMENT)):
        yield ("mask", mask.name), _with(_mask(mask, side), held)
    for measurement in result.measurements or ():
        yield ("measurement", measurement.name), _measurement(measurement)
    for detection, held in _paired(result.detections, uncertain.get(Task.DETECT)):
        yield ("detection", detection.name), _with(_detection(detection, side), held)
    for grounding, held in _paired(result.groundings, uncertain.get(Task.GROUND)):
        name = ("phrase", grounding.method, grounding.phrase)
        yield name, _with(_grounding(grounding, side), held)


def _paired(
    items: Sequence[T] | None, uncertainties: Sequence[Uncertainty] | None
) -> Iterator[tuple[T, Uncertainty | None]]:
    """Yield each result of a task with its uncertainty, None where none was asked for."""
    if uncertainties is None:
        return zip(items or (), repeat(None))
    return zip(items or (), uncertainties, strict=True)


def _with(fields: dict[str, Any], uncertainty: Uncertainty | None) -> Fields:
    """Return the fields of a statement with its uncertainty as further components."""
    if uncertainty is None:
        return fields
    components = [*fields["component"], _number(concepts.AGREEMENT, uncertainty.agreement)]
    if uncertainty.low is not None and uncertainty.high is not None:
        value = Range(low=_ratio(uncertainty.low), high=_ratio(uncertainty.high))
        components.append(Component(code=concepts.RANGE, value_range=value))
    return {**fields, "component": tuple(components)}


def _finding(finding: Finding, side: Side) -> dict[str, Any]:
    return {
        "code": concepts.named(finding.name, finding.code, side),
        "value_codeable_concept": concepts.PRESENT if finding.positive else concepts.ABSENT,
        "interpretation": _interpretation(positive=finding.positive),
        "component": (
            _number(concepts.PROBABILITY, finding.probability),
            _number(concepts.THRESHOLD, finding.threshold),
        ),
    }


def _mask(mask: Mask, side: Side) -> dict[str, Any]:
    area = Quantity(value=mask.area_px, unit="pixels", code="{pixels}")
    if mask.area_mm2 is not None:
        area = Quantity(value=mask.area_mm2, unit="mm2", code="mm2")
    boxes = () if mask.box is None else (_box(mask.box),)
    return {
        "code": concepts.SEGMENTED,
        "value_codeable_concept": concepts.named(mask.name, mask.code, side),
        "component": (
            Component(code=concepts.AREA, value_quantity=area),
            *boxes,
            *_evidence(mask.name, side),
        ),
    }


def _detection(detection: Detection, side: Side) -> dict[str, Any]:
    return {
        "code": concepts.DETECTED,
        "value_codeable_concept": concepts.named(detection.name, detection.code, side),
        "component": (
            _number(concepts.SCORE, detection.score),
            _box(detection.box),
            *_evidence(detection.name, side),
        ),
    }


def _grounding(grounding: Grounding, side: Side) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "code": concepts.GROUNDED,
        "value_codeable_concept": concepts.plain(grounding.phrase),
        "method": concepts.plain(grounding.method),
    }
    components = [_number(concepts.SIMILARITY, grounding.similarity)]
    if (presence := grounding.presence) is not None:
        fields["interpretation"] = _interpretation(positive=presence.found)
        components += [
            _number(concepts.PROBABILITY, presence.probability),
            _number(concepts.THRESHOLD, presence.threshold),
        ]
    components += [_box(found.box) for found in grounding.boxes]
    components += _evidence(grounding.phrase, side)
    return {**fields, "component": tuple(components)}


def _measurement(measurement: Measurement) -> Fields:
    unit = "ratio" if measurement.unit == NO_UNIT else measurement.unit
    notes = tuple(Annotation(text=Notice.of(text).message) for text in measurement.warnings)
    return {
        "code": concepts.measured(measurement.name, measurement.code),
        "value_quantity": Quantity(value=measurement.value, unit=unit, code=measurement.unit),
        "note": notes or None,
    }


def _caution(notice: Notice) -> Fields:
    return {
        "code": concepts.CAUTION,
        "value_codeable_concept": concepts.caution(notice.code, notice.message),
    }


def _distance(score: OutOfDistributionScore) -> Fields:
    return {
        "code": concepts.OUT_OF_DOMAIN,
        "value_codeable_concept": concepts.PRESENT if score.outside else concepts.ABSENT,
        "interpretation": _interpretation(positive=score.outside),
        "component": (
            _number(concepts.DISTANCE, score.score),
            _number(concepts.THRESHOLD, score.threshold),
        ),
    }


def _interpretation(*, positive: bool) -> tuple[CodeableConcept, ...]:
    return (concepts.POSITIVE if positive else concepts.NEGATIVE,)


def _number(code: CodeableConcept, value: float) -> Component:
    return Component(code=code, value_quantity=_ratio(value))


def _ratio(value: float) -> Quantity:
    return Quantity(value=value, unit="1", code=NO_UNIT)


def _box(box: Box) -> Component:
    return Component(code=concepts.BOX, value_string=to_json(box).decode())


def _evidence(name: str, side: Side) -> tuple[Component, ...]:
    """Return the evidence for the side that a name states, if it states one."""
    if not has_side(name):
        return ()
    return (Component(code=concepts.LATERALITY, value_string=side.evidence),)
