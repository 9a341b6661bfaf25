"""FHIR bundles over HTTP: of every task, and of hostile headers."""

import httpx
import pytest

from tests.builders.files import dicom_files, sample_files
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS, Start

DICOM = {"content-type": "application/dicom"}
TASKS = ("classify", "segment", "detect", "ground?phrase=bright", "analyze?phrase=bright")


@pytest.mark.parametrize("path", TASKS)
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/fhir+json", "application/fhir+json; fhirVersion=4.3"),
        ("application/fhir+json; fhirVersion=5.0", "application/fhir+json; fhirVersion=5.0"),
    ],
)
async def test_every_answer_can_be_a_fhir_bundle(
    client: httpx.AsyncClient, rectangle_dicom: bytes, path: str, accept: str, expected: str
) -> None:
    headers = DICOM | {"accept": accept}
    response = await client.post(path, content=rectangle_dicom, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == expected
    kinds = [entry["resource"]["resourceType"] for entry in response.json()["entry"]]
    assert set(kinds) == {"DiagnosticReport", "Observation", "Device"}
    again = await client.post(path, content=rectangle_dicom, headers=headers)
    assert again.json()["id"] == response.json()["id"]


async def test_another_release_of_fhir_is_406(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    headers = DICOM | {"accept": "application/fhir+json; fhirVersion=4.0"}
    response = await client.post("/classify", content=rectangle_dicom, headers=headers)
    assert response.status_code == 406
    assert "fhirVersion=4.3" in response.json()["detail"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("asserted", ["Left lung (side assumed)", "Right lung (side assumed)"]),
        ("assumed", ["Left lung", "Right lung"]),
    ],
)
async def test_the_site_decides_whether_an_assumed_side_is_stated(
    start: Start, rectangle_dicom: bytes, policy: str, expected: list[str]
) -> None:
    headers = DICOM | {"accept": "application/fhir+json"}
    async with start(dicom_results_sides=policy) as (_, client):
        response = await client.post("/segment", content=rectangle_dicom, headers=headers)
    values = [entry["resource"].get("valueCodeableConcept") for entry in response.json()["entry"]]
    assert [value["text"] for value in values if value and "lung" in value["text"]] == expected


async def test_a_fhir_bundle_tells_the_uncertainty_that_was_asked_for(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    headers = DICOM | {"accept": "application/fhir+json"}
    path = "analyze?phrase=bright&uncertainty=tta"
    response = await client.post(path, content=rectangle_dicom, headers=headers)
    assert '"code":"agreement"' in response.text
    assert '"valueRange"' in response.text


async def test_a_hostile_header_does_not_break_a_fhir_bundle(client: httpx.AsyncClient) -> None:
    hostile = dicom_files.dataset(
        dicom_files.ramp(),
        PatientID=b"7\x1b\x00\n",
        IssuerOfPatientID="<script>" * 500,
        StudyInstanceUID="../../1",
        StudyDate="99999999",
    )
    file = dicom_files.write(hostile, dicom_files.ramp().tobytes())
    headers = DICOM | {"accept": "application/fhir+json"}
    response = await client.post("/classify", content=file, headers=headers)
    assert response.status_code == 200
    assert not {"subject", "imagingStudy", "effectiveDateTime"} & {
        name for entry in response.json()["entry"] for name in entry["resource"]
    }


async def test_the_name_of_the_patient_is_not_in_a_fhir_bundle(client: httpx.AsyncClient) -> None:
    pixels = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    file = sample_files.dicom_file(pixels, PatientID="A7", PatientBirthDate="19991231")
    headers = DICOM | {"accept": "application/fhir+json"}
    response = await client.post("/classify", content=file, headers=headers)
    assert '"value":"A7"' in response.text
    assert "Doe" not in response.text
    assert "1999" not in response.text
