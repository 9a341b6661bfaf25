"""A published version is registered in MLflow with its metrics, once, and never instead of it."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from radiograph.manifest import Metric
from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, fields, manifest_of, write_stage
from training.publish import mlflow_registration
from training.publish.mlflow_registration import check_installed, register
from training.refusal import NotRegistered, RunRefused

METRIC = Metric(
    data="set",
    split="test",
    task="classify",
    head="findings",
    label="Pneumonia (any)",
    metric="auroc",
    value=0.9,
    low=0.85,
    high=0.95,
    n=100,
)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "models")
    stage = write_stage(tmp_path / "stage")
    provenance = {**fields({})["provenance"], "metrics": [METRIC]}
    made.publish(NAME, stage, manifest_of(stage, provenance=provenance))
    return made


def test_a_version_is_registered_with_metrics_and_manifest(
    client: MlflowClient, repository: Repository
) -> None:
    assert register(repository, NAME, 1, "stable") == "1"
    found = client.get_model_version_by_alias(NAME, "stable")
    assert found.tags == {
        "g2d.version": "1",
        "g2d.digest": repository.digest(NAME, 1),
        "g2d.commit": "0" * 40,
    }
    assert found.run_id is not None
    run = client.get_run(found.run_id)
    name = "set/test/findings/Pneumonia _any_/auroc"
    assert run.data.metrics == {name: 0.9, f"{name}.low": 0.85, f"{name}.high": 0.95}
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(found.run_id)] == ["manifest.json"]


def test_a_version_is_registered_once(client: MlflowClient, repository: Repository) -> None:
    assert register(repository, NAME, 1) == register(repository, NAME, 1, "canary") == "1"
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
    assert str(client.get_model_version_by_alias(NAME, "canary").version) == "1"


def test_another_version_is_another_one_of_the_same_model(
    client: MlflowClient, repository: Repository, tmp_path: Path
) -> None:
    stage = write_stage(tmp_path / "other", b"another golden")
    repository.publish(NAME, stage, manifest_of(stage))
    assert [register(repository, NAME, number) for number in (1, 2)] == ["1", "2"]


def test_a_server_that_is_gone_is_told_in_one_line(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(NotRegistered, match=f"{NAME} version 1 is published, but not registered"):
        register(repository, NAME, 1)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_registration, "find_spec", lambda _: None)
    with pytest.raises(RunRefused, match=r"g2d-radiograph\[mlflow\]"):
        check_installed()
