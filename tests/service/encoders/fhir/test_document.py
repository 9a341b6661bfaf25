"""A FHIR document is valid in both releases, complete, derived, and says nothing of the header
beyond the identifiers of patient and study."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, get_args

import numpy as np
import pytest
from fhir.resources.bundle import Bundle as R5Bundle
from fhir.resources.R4B.bundle import Bundle as R4BBundle

from radiograph.image import Laterality
from radiograph.manifest import Task
from radiograph.postprocess.grounding import Grounding, PhraseBox, Presence
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import Measurement
from radiograph.postprocess.uncertainty import Uncertainty
from radiograph.study import StudyIdentity
from radiograph.terminology.codes import Code
from service.decoding.decode import ImageFacts
from service.encoders.fhir.document import Release, encode
from service.inference.results import AnalysisResult, Notice, OutOfDistributionScore
from tests.builders.service.results.results import result

RELEASES: tuple[Release, ...] = get_args(Release)
READERS: dict[Release, Any] = {"4.3": R4BBundle, "5.0": R5Bundle}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EFFUSION = Code(scheme="SCT", value="60046008", meaning="Pleural effusion")
LUNG = Code(scheme="SCT", value="44029006", meaning="Left lung structure")
STUDY = StudyIdentity(
    study_instance_uid="1.2.840.99.1",
    study_date=date(2026, 1, 30),
    patient_id="7",
    issuer_of_patient_id="St. Elsewhere",
)


def full(study: StudyIdentity | None = STUDY, laterality: Laterality = "assumed") -> AnalysisResult:
    """A result of every task, with every optional part."""
    mask = np.ones((4, 4), np.bool_)
    heatmap = np.zeros((2, 2), np.float32)
    box = (0.0, 1.0, 2.0, 3.5)
    return replace(
        result(
            findings=(
                Finding("Effusion", EFFUSION, 0.75, 0.5, positive=True),
                Finding("Hernia", None, 0.125, 0.5, positive=False),
            ),
            masks=(
                Mask("Left lung", LUNG, mask, 16, 4.0, box),
                Mask("X", None, mask, 16, None, None),
            ),
            measurements=(
                Measurement("Cardiothoracic ratio", None, 0.5, "1", ("cut_off: the edge is near",)),
            ),
            detections=(Detection("Nodule", None, 0.9, box), Detection("Nodule", None, 0.8, box)),
            groundings=(
                Grounding("left lung", "aligned", 0.9, heatmap, None, (), None),
                Grounding(
                    "a\x07b",
                    "zero_shot",
                    0.9,
                    heatmap,
                    (1, 1),
                    (PhraseBox(box, 0.8),),
                    Presence(0.75, 0.5),
                ),
            ),
        ),
        image=ImageFacts(4, 4, study=study, laterality=laterality),
        warnings=(Notice("out_of_domain", "unlike the others"), Notice("cut", "cut \x1b[31m off")),
        out_of_domain=OutOfDistributionScore(2.5, 1.5),
    )


def document(
    release: Release = "4.3",
    answer: AnalysisResult | None = None,
    sha256: str = "ab" * 32,
    coded_sides: bool = False,
) -> dict[str, Any]:
    answer = full() if answer is None else answer
    text = encode(answer, sha256, release, NOON, coded_sides=coded_sides)
    made: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return made


def resources(kind: str, made: dict[str, Any]) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in made["entry"]]
    return [item for item in found if item["resourceType"] == kind]


def observation(text: str, made: dict[str, Any]) -> dict[str, Any]:
    """Return the only observation whose code or value has this text."""
    (found,) = (
        item
        for item in resources("Observation", made)
        if text in (item["code"]["text"], item.get("valueCodeableConcept", {}).get("text"))
    )
    return found


def every(key: str, value: object) -> list[Any]:
    """Return every member of this name in a JSON value."""
    if isinstance(value, list):
        return [found for item in value for found in every(key, item)]
    if not isinstance(value, dict):
        return []
    own = [value[key]] if key in value else []
    return own + [found for item in value.values() for found in every(key, item)]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    "answer",
    [
        full(),
        full(None),
        full(StudyIdentity()),
        full(laterality="unknown"),
        result(),
        result(findings=(), masks=(), detections=(), groundings=(), measurements=()),
    ],
)
def test_a_reader_of_the_release_finds_the_same(release: Release, answer: AnalysisResult) -> None:
    made = document(release, answer)
    read = READERS[release].model_validate_json(json.dumps(made))
    assert json.loads(read.model_dump_json(by_alias=True, exclude_none=True)) == made


def test_a_finding_is_a_coded_observation_with_probability_and_threshold() -> None:
    found = observation("Effusion", document())
    assert found["status"] == "preliminary"
    (coding,) = found["code"]["coding"]
    assert coding == {
        "system": "http://snomed.info/sct",
        "code": "60046008",
        "display": "Pleural effusion",
    }
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "52101004"
    assert found["interpretation"][0]["coding"][0]["code"] == "POS"
    parts = {item["code"]["coding"][0]["code"]: item for item in found["component"]}
    assert parts["122157"]["valueQuantity"]["value"] == 0.75
    assert parts["122411"]["valueQuantity"]["value"] == 0.5


def test_a_finding_below_its_threshold_is_absent_and_without_a_code_is_text() -> None:
    found = observation("Hernia", document())
    assert found["code"] == {"text": "Hernia"}
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "272519000"
    assert found["interpretation"][0]["coding"][0]["code"] == "NEG"


def test_a_structure_has_its_area_and_box() -> None:
    asserted = document(answer=full(laterality="asserted"), coded_sides=True)
    area, box, side = observation("Left lung", asserted)["component"]
    assert (area["valueQuantity"]["value"], area["valueQuantity"]["code"]) == (4.0, "mm2")
    assert json.loads(box["valueString"]) == [0.0, 1.0, 2.0, 3.5]
    assert side["valueString"] == "asserted"
    (pixels,) = observation("X", document())["component"]
    assert pixels["valueQuantity"]["code"] == "{pixels}"


@pytest.mark.parametrize("laterality", ["unknown", "assumed"])
def test_a_side_that_the_site_does_not_code_is_text(laterality: Laterality) -> None:
    made = document(answer=full(laterality=laterality))
    lung = observation(f"Left lung (side {laterality})", made)
    assert "coding" not in lung["valueCodeableConcept"]


def test_a_side_that_the_site_codes_is_told_apart_from_one_that_it_does_not() -> None:
    made = document(coded_sides=True)
    lung = observation("Left lung", made)
    assert lung["valueCodeableConcept"]["coding"][0]["code"] == LUNG.value
    assert lung["component"][-1]["valueString"] == "assumed"
    assert lung["id"] != observation("Left lung (side assumed)", document())["id"]


@pytest.mark.parametrize("release", RELEASES)
def test_uncertainty_is_part_of_each_observation(release: Release) -> None:
    held = Uncertainty(7, 0.875, 0.25, 0.75)
    alone = Uncertainty(7, 0.875)
    answer = replace(
        full(),
        uncertainty={
            Task.CLASSIFY: (held, alone),
            Task.SEGMENT: (alone, alone),
            Task.DETECT: (alone, alone),
            Task.GROUND: (alone, held),
        },
    )
    made = document(release, answer)
    assert READERS[release].model_validate_json(json.dumps(made))
    for text in ("Effusion", "a b"):
        agreement, span = observation(text, made)["component"][-2:]
        assert agreement["valueQuantity"]["value"] == 0.875
        limits = (span["valueRange"]["low"]["value"], span["valueRange"]["high"]["value"])
        assert limits == (0.25, 0.75)
    assert len(every("valueRange", made)) == 2
    agreements = [item for item in every("text", made) if item.startswith("Agreement")]
    assert len(agreements) == 8
    assert observation("Effusion", made)["id"] != observation("Effusion", document(release))["id"]


def test_a_measurement_has_value_unit_and_cautions() -> None:
    ratio = observation("Cardiothoracic ratio", document())
    assert ratio["valueQuantity"]["value"] == 0.5
    assert ratio["valueQuantity"]["system"] == "http://unitsofmeasure.org"
    assert ratio["note"] == [{"text": "the edge is near"}]


def test_a_phrase_has_its_decision_only_where_the_version_makes_one() -> None:
    assert "interpretation" not in observation("left lung", document())
    decided = observation("a b", document())
    assert decided["interpretation"][0]["coding"][0]["code"] == "POS"
    assert decided["method"] == {"text": "zero_shot"}


@pytest.mark.parametrize(("release", "studies"), [("4.3", "imagingStudy"), ("5.0", "study")])
def test_report_and_observations_name_patient_study_and_date(
    release: Release, studies: str
) -> None:
    made = document(release)
    (report,) = resources("DiagnosticReport", made)
    subject = report["subject"]["identifier"]
    assert (subject["value"], subject["assigner"]) == ("7", {"display": "St. Elsewhere"})
    (study,) = report[studies]
    assert study["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99.1"}
    assert report["status"] == "preliminary"
    for item in resources("Observation", made):
        assert (item["subject"], item["derivedFrom"]) == (report["subject"], [study])
        assert item["effectiveDateTime"] == report["effectiveDateTime"] == "2026-01-30"


def test_a_file_that_is_no_dicom_has_neither_patient_nor_study() -> None:
    made = document(answer=full(None))
    assert every("subject", made) == every("derivedFrom", made) == every("imagingStudy", made) == []


@pytest.mark.parametrize("release", RELEASES)
def test_the_device_is_the_version(release: Release) -> None:
    (device,) = resources("Device", document(release))
    names = {"4.3": [{"name": "tiny", "type": "model-name"}]}
    names["5.0"] = [{"value": "tiny", "type": "user-friendly-name"}]
    assert device[{"4.3": "deviceName", "5.0": "name"}[release]] == names[release]
    assert device["version"] == [{"value": "1"}]
    assert device["identifier"] == [{"system": "urn:g2d:model-digest", "value": "0" * 64}]


def test_every_reference_resolves_and_every_code_has_a_system_and_a_display() -> None:
    made = document()
    addresses = every("fullUrl", made)
    assert len(set(addresses)) == len(addresses) == len(made["entry"])
    assert set(every("reference", made)) == set(addresses) - {made["entry"][0]["fullUrl"]}
    for coding in every("coding", made):
        assert all({"system", "code", "display"} == code.keys() for code in coding)


def test_the_same_input_has_the_same_document_but_for_its_time() -> None:
    issued = datetime(2027, 1, 1, tzinfo=UTC)
    later = json.loads(encode(full(), "ab" * 32, "4.3", issued, coded_sides=False))
    (report,) = resources("DiagnosticReport", later)
    assert later.pop("timestamp") == report.pop("issued") == "2027-01-01T00:00:00Z"
    now = document()
    (report,) = resources("DiagnosticReport", now)
    assert now.pop("timestamp") == report.pop("issued") == "2026-01-31T12:00:00Z"
    assert later == now


@pytest.mark.parametrize("change", ["input", "model", "release", "question"])
def test_another_input_model_release_or_question_has_other_identifiers(change: str) -> None:
    first, other = document(), document()
    match change:
        case "input":
            other = document(sha256="cd" * 32)
        case "model":
            model = replace(full().model, digest="1" * 64)
            other = document(answer=replace(full(), model=model))
        case "release":
            other = document("5.0")
        case "question":
            other = document(answer=replace(full(), findings=None))
    assert first["id"] != other["id"]
    reports = [resources("DiagnosticReport", made)[0]["id"] for made in (first, other)]
    assert reports[0] != reports[1]


def test_the_conclusion_names_what_is_positive_and_every_caution() -> None:
    (report,) = resources("DiagnosticReport", document())
    assert "Effusion (0.75)" in report["conclusion"]
    assert "Hernia" not in report["conclusion"]
    assert "Caution: unlike the others" in report["conclusion"]
    assert "no physician has confirmed" in report["conclusion"]


def test_no_control_character_reaches_the_document() -> None:
    text = encode(full(), "ab" * 32, "4.3", NOON, coded_sides=False)
    assert not any(ord(letter) < 32 for letter in "".join(every("text", json.loads(text))))


def test_two_heads_may_name_the_same_finding() -> None:
    finding = Finding("Effusion", EFFUSION, 0.75, 0.5, positive=True)
    assert len(resources("Observation", document(answer=result(findings=(finding, finding))))) == 2
