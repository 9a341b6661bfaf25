"""Structured reports: the boxes of a result, and its findings, each in a document of its own.

    TID 1500 Measurement Report
        TID 1410 Planar ROI               one for each box: polyline, probability, side
        TID 1501 Measurement Group        one for each finding: probability, threshold, presence

Probabilities are in percent, because viewers print value and unit as they are.

Source: DICOM PS3.16, TID 1500, 1410, 1501 and 4019.
"""

from collections.abc import Sequence

from highdicom import SOPClass
from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code as DicomCode
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, ExplicitVRLittleEndian

from radiograph.postprocess.heads import Finding
from service.dicom_results.kinds import MANUFACTURER, EncodedObject
from service.dicom_results.objects import codes
from service.dicom_results.objects.boxes import LabelledBox, boxes_of
from service.dicom_results.objects.codes import concept_of, shortened
from service.dicom_results.objects.composition import (
    Composition,
    item_of,
    put,
    put_all,
    put_private_scheme,
)

_SOP_CLASSES = {
    "COMPREHENSIVE_3D": Comprehensive3DSRStorage,
    "COMPREHENSIVE": ComprehensiveSRStorage,
}
_Group = PlanarROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations


def boxes(composition: Composition) -> EncodedObject:
    """Return the report of all boxes; without any box its container of measurements is empty."""
    found = boxes_of(composition.result)
    groups = [_region(composition, number, item) for number, item in enumerate(found, 1)]
    concepts = [item.concept.code for item in found]
    return _report(composition, groups, concepts, [item.label for item in found])


def findings(composition: Composition) -> EncodedObject:
    """Return the report of all findings, present and absent ones."""
    found = composition.result.findings or ()
    concepts = [concept_of(item.name, item.code).code for item in found]
    groups = [
        _finding(composition, number, item, concept)
        for number, (item, concept) in enumerate(zip(found, concepts, strict=True), 1)
    ]
    return _report(composition, groups, concepts, [item.name for item in found])


def _region(composition: Composition, number: int, item: LabelledBox) -> _Group:
    """Return the measurement group of one box."""
    concept = item.concept
    region = ImageRegion(
        graphic_type="POLYLINE",
        graphic_data=item.outline,
        source_image=SourceImageForRegion(*composition.instance),
    )
    sites = [FindingSite(concept.code, laterality=concept.side)] if concept.is_anatomical else None
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(composition, number, item.label),
        referenced_region=region,
        finding_type=concept.code,
        finding_sites=sites,
        algorithm_id=_algorithm(composition),
        measurements=[_percentage(codes.PROBABILITY, item.probability)],
    )


def _finding(composition: Composition, number: int, finding: Finding, concept: DicomCode) -> _Group:
    """Return the measurement group of one finding of the whole image."""
    verdict = codes.PRESENT if finding.positive else codes.ABSENT
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(composition, number, finding.name),
        finding_type=concept,
        algorithm_id=_algorithm(composition),
        measurements=[
            _percentage(codes.PROBABILITY, finding.probability),
            _percentage(codes.THRESHOLD, finding.threshold),
        ],
        qualitative_evaluations=[QualitativeEvaluation(codes.PRESENCE, verdict)],
        source_images=[SourceImageForMeasurementGroup(*composition.instance)],
    )


def _tracking(composition: Composition, number: int, label: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=composition.uids.uid(f"group {number}"), identifier=label)


def _algorithm(composition: Composition) -> AlgorithmIdentification:
    """Return name, version and digest; a family would be read as an evaluation of the image."""
    model = composition.result.model
    return AlgorithmIdentification(
        name=model.name,
        version=str(model.version),
        parameters=[composition.algorithm_parameters],
    )


def _percentage(name: DicomCode, value: float) -> Measurement:
    """Return a probability, 0 to 1, as a number of percent with two decimals."""
    return Measurement(name=name, value=round(100 * value, 2), unit=codes.PERCENT)


def _report(
    composition: Composition,
    groups: Sequence[_Group],
    concepts: Sequence[DicomCode],
    texts: Sequence[str],
) -> EncodedObject:
    options = composition.options
    (root,) = MeasurementReport(
        observation_context=_observer(composition),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=groups or [_placeholder(composition)],
        title=codes.IMAGING_REPORT,
    )
    if not groups:
        put(root.ContentSequence[-1], "ContentSequence", None)
    # highdicom's documents copy the content twice and search it for references, which takes most
    # of the time; all that this one refers to is the radiograph.
    made = SOPClass(
        study_instance_uid=composition.study_instance_uid,
        sop_class_uid=_SOP_CLASSES[options.report_class],
        modality="SR",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **composition.identifying,
    )
    for element in root:
        made[element.tag] = element
    flags = {
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "PreliminaryFlag": "PRELIMINARY" if options.preliminary else "FINAL",
        "CurrentRequestedProcedureEvidenceSequence": [_evidence(composition)],
        "PerformedProcedureCodeSequence": [],
        "ReferencedPerformedProcedureStepSequence": [],
    }
    put_all(made, flags)
    put_private_scheme(made, concepts)
    return composition.encode(made, *texts)


def _placeholder(composition: Composition) -> _Group:
    """Return a group for a report without any, which highdicom does not build; it is removed."""
    return MeasurementsAndQualitativeEvaluations(_tracking(composition, 0, "-"))


def _evidence(composition: Composition) -> Dataset:
    """Return the reference to the radiograph, which is all evidence of a report."""
    source = composition.source
    instance = item_of(
        ReferencedSOPClassUID=source.sop_class_uid,
        ReferencedSOPInstanceUID=source.sop_instance_uid,
    )
    series = item_of(SeriesInstanceUID=source.series_instance_uid, ReferencedSOPSequence=[instance])
    return item_of(StudyInstanceUID=source.study_instance_uid, ReferencedSeriesSequence=[series])


def _observer(composition: Composition) -> ObservationContext:
    """Return the version of the model as the device that observed."""
    model = composition.result.model
    device = DeviceObserverIdentifyingAttributes(
        uid=composition.uids.device_uid(model.digest),
        name=shortened(str(model)),
        manufacturer_name=MANUFACTURER,
        model_name=model.name,
        serial_number=model.digest,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dictionary.DCM.Device, observer_identifying_attributes=device
        )
    )
