"""deploy/: the manifests are valid, confined, and fit together and to the service."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import PREFIX, Settings
from tests import kustomize, promql
from tests.kustomize import Manifest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
KUBERNETES = ("1.30", "1.37")
"""The oldest and the newest that the manifests are held against."""
CUSTOM = {
    "InferenceService": "serving.kserve.io/v1beta1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}

BUILT = {name: kustomize.build(DEPLOY / "overlays" / name) for name in OVERLAYS}
MANIFESTS = [
    pytest.param(manifest, id=f"{name}-{manifest['kind']}-{manifest['metadata']['name']}")
    for name in OVERLAYS
    for manifest in BUILT[name]
]


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in BUILT[overlay] if manifest["kind"] == kind]


def one(overlay: str, kind: str) -> Manifest:
    (manifest,) = of_kind(overlay, kind)
    return manifest


def pods(overlay: str) -> Iterator[Manifest]:
    """The pod of every workload that is ours."""
    for manifest in of_kind(overlay, "Deployment"):
        yield manifest["spec"]["template"]["spec"]
    for manifest in of_kind(overlay, "CronJob"):
        yield manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def container(overlay: str) -> Manifest:
    (found,) = one(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_follows_the_schema_of_kubernetes(manifest: Manifest, version: str) -> None:
    if manifest["kind"] in CUSTOM:
        assert manifest["apiVersion"] == CUSTOM[manifest["kind"]]
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_named_is_there(overlay: str) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in BUILT[overlay]}
    assert len(names) == len(BUILT[overlay])
    for pod in pods(overlay):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or ("PersistentVolumeClaim", claim["claimName"]) in names
        for item in pod["containers"]:
            assert {mount["name"] for mount in item["volumeMounts"]} == set(volumes)
    scaled = one(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) in names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_pods(overlay: str) -> None:
    deployment = one(overlay, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() <= labels
    assert one(overlay, "Service")["spec"]["selector"].items() <= labels
    assert one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    monitor = one(overlay, "ServiceMonitor")["spec"]
    service = one(overlay, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {item["port"] for item in monitor["endpoints"]} == {
        port["name"] for port in service["spec"]["ports"]
    }
    assert {item["path"] for item in monitor["endpoints"]} == {"/metrics"}
    (policy, *_) = of_kind(overlay, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_of_ours_is_confined(overlay: str) -> None:
    for pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for item in pod["containers"]:
            security = item["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= item["resources"]["limits"].keys()
            (models,) = (mount for mount in item["volumeMounts"] if mount["name"] == "models")
            assert models["readOnly"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_tag_that_stays(overlay: str) -> None:
    texts = re.findall(r"image: (\S+)", yaml.safe_dump_all(BUILT[overlay]))
    assert texts
    assert all(re.search(r":v?\d+\.\d+", text) for text in texts)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_environment_is_settings(overlay: str) -> None:
    given = {item["name"]: item["value"] for item in container(overlay)["env"]}
    unknown = {
        name for name in given if name.removeprefix(PREFIX).lower() not in Settings.model_fields
    }
    assert not unknown
    settings = Settings.from_environment(given)
    (port,) = container(overlay)["ports"]
    assert (settings.port, settings.host) == (port["containerPort"], "0.0.0.0")  # noqa: S104
    mounts = {mount["name"]: mount["mountPath"] for mount in container(overlay)["volumeMounts"]}
    assert str(settings.models_dir) == mounts["models"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_the_service_answers(overlay: str) -> None:
    item = container(overlay)
    paths = {name: item[name]["httpGet"]["path"] for name in item if name.endswith("Probe")}
    assert paths == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_running_requests_have_time_to_end(overlay: str) -> None:
    pause = int(container(overlay)["lifecycle"]["preStop"]["exec"]["command"][1])
    pod = one(overlay, "Deployment")["spec"]["template"]["spec"]
    given = {item["name"]: item["value"] for item in container(overlay)["env"]}
    graceful = Settings.from_environment(given).stop_grace_s
    assert pod["terminationGracePeriodSeconds"] > pause + graceful


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_decoders_cannot_take_more_memory_than_the_container_has(overlay: str) -> None:
    item = container(overlay)
    given = {entry["name"]: entry["value"] for entry in item["env"]}
    settings = Settings.from_environment(given)
    limits = item["resources"]["limits"]
    gib = int(limits["memory"].removesuffix("Gi"))
    assert int(limits["cpu"]) * settings.decode_memory_bytes <= (gib - 1) * 1024**3


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_follow_a_metric_that_is_exported(overlay: str) -> None:
    (metric,) = one(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    (rule,) = yaml.safe_load((DEPLOY / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert promql.read_by(rule["seriesQuery"])[0] <= promql.exported()[0]
    assert "replicas" not in one(overlay, "Deployment")["spec"]


def test_the_rules_of_the_operator_are_those_of_compose() -> None:
    rules = yaml.safe_load((ROOT / "docker/observability/rules.yml").read_text())
    assert one("cpu", "PrometheusRule")["spec"]["groups"] == rules["groups"]
    # The rules look for job="g2d"; the operator takes it from the Service's name.
    assert one("cpu", "Service")["metadata"]["name"] == "g2d"


def test_a_gpu_is_asked_for_where_one_computes() -> None:
    limits = container("gpu")["resources"]["limits"]
    given = {item["name"]: item["value"] for item in container("gpu")["env"]}
    assert (limits["nvidia.com/gpu"], given["G2D_PROVIDER"]) == ("1", "cuda")
    assert "nvidia.com/gpu" not in container("cpu")["resources"]["limits"]


def test_the_service_finds_triton_and_may_reach_it() -> None:
    predictor = one("triton", "InferenceService")
    (server,) = predictor["spec"]["predictor"]["containers"]
    (port,) = server["ports"]
    given = {item["name"]: item["value"] for item in container("triton")["env"]}
    name = predictor["metadata"]["name"]
    assert given["G2D_TRITON_URL"] == f"{name}-predictor:{port['containerPort']}"
    policies = {
        policy["metadata"]["name"]: policy["spec"] for policy in of_kind("triton", "NetworkPolicy")
    }
    asked = {"serving.kserve.io/inferenceservice": name}
    (out,) = policies["g2d-to-triton"]["egress"]
    assert out["to"] == [{"podSelector": {"matchLabels": asked}}]
    assert out["ports"][0]["port"] == port["containerPort"]
    assert policies["g2d-triton"]["podSelector"]["matchLabels"] == asked


def test_triton_is_the_one_of_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (server,) = one("triton", "InferenceService")["spec"]["predictor"]["containers"]
    assert server["image"] in compose["services"]["triton"]["image"]


def as_kubectl_writes(overlay: str) -> list[Any]:
    command = ["kubectl", "kustomize", str(DEPLOY / "overlays" / overlay)]  # reads files alone
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_builds_the_same(overlay: str) -> None:
    def key(manifest: Manifest) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(as_kubectl_writes(overlay), key=key) == sorted(BUILT[overlay], key=key)
