"""A subtype over HTTP: absent with the finding that it is a subtype of, in every format."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.schemas.inference import FindingAnswer
from tests.builders.models.faults import faulty_versions
from tests.builders.models.versions import tiny_version
from tests.fixtures.service import Start

HEADERS = {"content-type": "application/dicom"}
FHIR = {"accept": "application/fhir+json"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions: of `canary`, a lung opacity is a subtype of a finding that is always absent."""
    root = tmp_path_factory.mktemp("models")
    tiny_version.publish(root)

    def edit(manifest: Any) -> None:
        opacity, normal = manifest["heads"]["findings"]["labels"]
        opacity |= {"subtype_of": normal["name"], "threshold": 0.0}
        normal["threshold"] = 0.9999

    tiny_version.publish(root, alias="canary")
    faulty_versions.edit_manifest(root, 2, edit)
    return root


async def opacity_of(client: httpx.AsyncClient, data: bytes, version: str) -> dict[str, Any]:
    answer = await client.post(f"/classify?version={version}", content=data, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    (found,) = (each for each in answer.json()["findings"] if each["name"] == "Lung opacity")
    return dict(found)


async def test_a_subtype_is_absent_with_its_finding_and_keeps_its_probability(
    start: Start, models: Path, rectangle_dicom: bytes
) -> None:
    async with start(models_dir=models) as (_, client):
        plain, subtype = [
            await opacity_of(client, rectangle_dicom, version) for version in ("stable", "canary")
        ]
    assert subtype["subtype_of"] == "No finding"
    assert "subtype_of" not in plain
    assert subtype["probability"] == plain["probability"] > subtype["threshold"]
    assert not subtype["positive"]
    for found in (plain, subtype):
        assert FindingAnswer.model_validate(found).model_dump(mode="json") == found


async def test_fhir_says_absent_as_well(start: Start, models: Path, rectangle_dicom: bytes) -> None:
    async with start(models_dir=models) as (_, client):
        answer = await client.post(
            "/classify?version=canary", content=rectangle_dicom, headers=HEADERS | FHIR
        )
    assert answer.status_code == 200, answer.text
    resources = [entry["resource"] for entry in answer.json()["entry"]]
    (report,) = (each for each in resources if each["resourceType"] == "DiagnosticReport")
    assert "Findings present: none." in report["conclusion"]
    (opacity,) = (each for each in resources if each.get("code", {}).get("text") == "Lung opacity")
    assert opacity["valueCodeableConcept"]["coding"][0]["display"] == "Absent"


async def test_a_version_is_described_with_its_subtypes(start: Start, models: Path) -> None:
    async with start(models_dir=models) as (_, client):
        texts = [(await client.get(f"/v1/models/tiny/versions/{n}")).text for n in (1, 2)]
    assert '"subtype_of":"No finding"' in texts[1]
    assert "subtype_of" not in texts[0]
