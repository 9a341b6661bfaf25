"""Registration of a published version in the model registry of MLflow.

    g2d publish RUN --mlflow --> the version is published
                             --> a run with its metrics, manifest and card, and a registered version

MLflow numbers its versions itself; the tags `g2d.version` and `g2d.digest` tell ours. Weights stay
in the model repository. The server is that of MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI.
"""

import re
from importlib.util import find_spec
from typing import Any

from radiograph.manifest import MANIFEST_NAME, Metric, ModelManifest
from radiograph.repository.repository import Repository
from training.refusal import NotRegistered, RunRefused

_CARD = "MODEL_CARD.md"
_VERSION, _DIGEST, _COMMIT = "g2d.version", "g2d.digest", "g2d.commit"
_OTHER = re.compile(r"[^A-Za-z0-9_\-. :/]")
"""Characters that the name of a metric must not have."""


def check_installed() -> None:
    """Check that MLflow is installed, without importing it.

    Raises:
        RunRefused: it is not; the message says what to install.
    """
    if find_spec("mlflow") is None:
        raise RunRefused("--mlflow needs mlflow: pip install 'g2d-radiograph[mlflow]'")


def register(repository: Repository, name: str, number: int, alias: str = "") -> str:
    """Register a published version under the name of its model; once for each digest.

    Args:
        repository: holds the version.
        name: name of the model.
        number: number of the version.
        alias: alias in MLflow that is pointed to it; empty for none.

    Returns:
        The number of the version in MLflow.

    Raises:
        NotRegistered: MLflow did not register it. The version is published nevertheless.
    """
    import mlflow

    client = mlflow.MlflowClient()
    try:
        return _register(client, repository, name, number, alias)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise NotRegistered(
            f"{name} version {number} is published, but not registered in MLflow: "
            f"{type(error).__name__}"
        ) from error


def _register(client: Any, repository: Repository, name: str, number: int, alias: str) -> str:
    digest = repository.digest(name, number)
    registered = _registered(client, name, digest)
    if registered is None:
        manifest = repository.load_manifest(name, number)
        tags = {_VERSION: str(number), _DIGEST: digest, _COMMIT: manifest.provenance.commit}
        run = _log_run(client, repository, manifest, tags)
        registered = client.create_model_version(
            name, source=run.info.artifact_uri, run_id=run.info.run_id, tags=tags
        ).version
    if alias:
        client.set_registered_model_alias(name, alias, registered)
    return str(registered)


def _registered(client: Any, name: str, digest: str) -> str | None:
    """Return the version in MLflow of a digest, or None; create the model if it is new."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        return None
    found = client.search_model_versions(f"name = '{name}'")
    return next((item.version for item in found if item.tags.get(_DIGEST) == digest), None)


def _log_run(
    client: Any, repository: Repository, manifest: ModelManifest, tags: dict[str, str]
) -> Any:
    """Write a run with the metrics of a version, its manifest and its card."""
    experiment = client.get_experiment_by_name(manifest.name)
    experiment_id = (
        client.create_experiment(manifest.name) if experiment is None else experiment.experiment_id
    )
    run = client.create_run(
        experiment_id, run_name=f"{manifest.name}/{manifest.version}", tags=tags
    )
    for metric in manifest.provenance.metrics:
        for key, value in _values(metric).items():
            client.log_metric(run.info.run_id, key, value)
    folder = repository.folder(manifest.name, manifest.version)
    for file in (MANIFEST_NAME, _CARD):
        if (folder / file).is_file():
            client.log_artifact(run.info.run_id, str(folder / file))
    client.set_terminated(run.info.run_id)
    return run


def _values(metric: Metric) -> dict[str, float]:
    """Return a metric and the bounds of its interval, by the names that MLflow accepts."""
    parts = (metric.data, metric.split, metric.head or metric.task, metric.label, metric.metric)
    name = _OTHER.sub("_", "/".join(parts))
    return {name: metric.value, f"{name}.low": metric.low, f"{name}.high": metric.high}
