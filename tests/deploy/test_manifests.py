"""deploy/: the manifests are valid, confined, and consistent with each other and the service."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.auth.access import check_exposure
from service.settings import OPTIONS, PREFIX, Settings
from tests.builders.deploy import kustomize, promql
from tests.builders.deploy.kustomize import Manifest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
OWN = {
    "cpu-jobs": ("cpu", ["jobs", "writable-models"]),
    "gpu-jobs-sqlite": ("gpu", ["jobs-sqlite"]),
    "triton-jobs": ("triton", ["jobs"]),
}
"""Overlays that an operator could write: one of ours with components on top."""
KUBERNETES = ("1.30", "1.37")
"""The oldest and the newest version that the manifests are validated against."""
CUSTOM = {
    "InferenceService": "serving.kserve.io/v1beta1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}


def write_own(folder: Path, name: str) -> Path:
    """Write the kustomization of an operator's overlay into any folder, and return the folder."""
    overlay, components = OWN[name]
    up = os.path.relpath(DEPLOY, folder)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "g2d",
        "resources": [f"{up}/overlays/{overlay}"],
        "components": [f"{up}/components/{component}" for component in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def built(name: str) -> list[Manifest]:
    if name not in OWN:
        return kustomize.build(DEPLOY / "overlays" / name)
    with TemporaryDirectory() as folder:
        return kustomize.build(write_own(Path(folder).resolve(), name))


ALL = [*OVERLAYS, *OWN]
BUILT = {name: built(name) for name in ALL}
DISTINCT = {yaml.safe_dump(found): (name, found) for name in ALL for found in BUILT[name]}
MANIFESTS = [
    pytest.param(found, id=f"{name}-{found['kind']}-{found['metadata']['name']}")
    for name, found in DISTINCT.values()
]


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in BUILT[overlay] if manifest["kind"] == kind]


def one(overlay: str, kind: str, name: str = "g2d") -> Manifest:
    (manifest,) = (found for found in of_kind(overlay, kind) if found["metadata"]["name"] == name)
    return manifest


def predictor(overlay: str) -> list[Manifest]:
    """Return the pod of each InferenceService, without the fields of KServe."""
    return [
        {key: value for key, value in spec.items() if key not in ("minReplicas", "maxReplicas")}
        for spec in (found["spec"]["predictor"] for found in of_kind(overlay, "InferenceService"))
    ]


def pods(overlay: str) -> list[Manifest]:
    """Return the pod of every workload."""
    deployments = of_kind(overlay, "Deployment")
    return [found["spec"]["template"]["spec"] for found in deployments] + predictor(overlay)


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def container(overlay: str) -> Manifest:
    (found,) = one(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(overlay: str) -> dict[str, str]:
    """Return the variables of the service; those from a Secret are empty."""
    return {item["name"]: item.get("value", "") for item in container(overlay)["env"]}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_follows_the_schema_of_kubernetes(manifest: Manifest, version: str) -> None:
    if manifest["kind"] in CUSTOM:
        assert manifest["apiVersion"] == CUSTOM[manifest["kind"]]
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_predictor_of_kserve_is_a_pod(version: str) -> None:
    (spec,) = predictor("kserve")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("overlay", ALL)
def test_every_reference_in_a_manifest_resolves(overlay: str) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in BUILT[overlay]}
    assert len(names) == len(BUILT[overlay])
    for pod in pods(overlay):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or ("PersistentVolumeClaim", claim["claimName"]) in names
        mounted = [item["volumeMounts"] for item in containers(pod)]
        assert {mount["name"] for mounts in mounted for mount in mounts} == set(volumes)
    scaled = one(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) in names


@pytest.mark.parametrize("overlay", ALL)
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
    policy = one(overlay, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("overlay", ALL)
def test_every_pod_of_ours_is_confined(overlay: str) -> None:
    for pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for item in containers(pod):
            security = item["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= item["resources"]["limits"].keys()


@pytest.mark.parametrize("overlay", ALL)
def test_every_image_has_a_pinned_tag(overlay: str) -> None:
    texts = re.findall(r"image: (\S+)", yaml.safe_dump_all(BUILT[overlay]))
    assert texts
    assert all(re.search(r":v?\d+\.\d+", text) for text in texts)


@pytest.mark.parametrize("overlay", ALL)
def test_the_environment_consists_of_valid_settings(overlay: str) -> None:
    given = environment(overlay)
    unknown = {name for name in given if name.removeprefix(PREFIX).lower() not in OPTIONS}
    assert not unknown
    settings = Settings.from_environment(given)
    (port,) = container(overlay)["ports"]
    assert (settings.server.port, settings.server.host) == (port["containerPort"], "0.0.0.0")  # noqa: S104
    mounts = {mount["name"]: mount["mountPath"] for mount in container(overlay)["volumeMounts"]}
    assert str(settings.models.models_dir) == mounts["models"]


@pytest.mark.parametrize("overlay", ALL)
def test_probes_request_paths_that_the_service_answers(overlay: str) -> None:
    item = container(overlay)
    paths = {name: item[name]["httpGet"]["path"] for name in item if name.endswith("Probe")}
    assert paths == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }


@pytest.mark.parametrize("overlay", ALL)
def test_running_requests_have_time_to_finish(overlay: str) -> None:
    pause = int(container(overlay)["lifecycle"]["preStop"]["exec"]["command"][1])
    pod = one(overlay, "Deployment")["spec"]["template"]["spec"]
    given = environment(overlay)
    graceful = Settings.from_environment(given).server.stop_grace_s
    assert pod["terminationGracePeriodSeconds"] > pause + graceful


@pytest.mark.parametrize("overlay", ALL)
def test_the_decoders_cannot_take_more_memory_than_the_container_has(overlay: str) -> None:
    item = container(overlay)
    settings = Settings.from_environment(environment(overlay))
    limits = item["resources"]["limits"]
    gib = int(limits["memory"].removesuffix("Gi"))
    assert int(limits["cpu"]) * settings.decoding.memory_bytes <= (gib - 1) * 1024**3


@pytest.mark.parametrize("overlay", ALL)
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


def test_a_gpu_is_requested_only_by_the_gpu_overlay() -> None:
    limits = container("gpu")["resources"]["limits"]
    given = environment("gpu")
    assert (limits["nvidia.com/gpu"], given["G2D_PROVIDER"]) == ("1", "cuda")
    assert "nvidia.com/gpu" not in container("cpu")["resources"]["limits"]


@pytest.mark.parametrize("overlay", ALL)
def test_the_models_are_read_only_unless_a_component_says_otherwise(overlay: str) -> None:
    writable = "writable-models" in OWN.get(overlay, ("", []))[1]
    for pod in pods(overlay):
        ours = writable and "initContainers" not in pod
        (volume,) = (found for found in pod["volumes"] if found["name"] == "models")
        mounts = [mount for item in containers(pod) for mount in item["volumeMounts"]]
        allowed = {mount["readOnly"] for mount in mounts if mount["name"] == "models"}
        assert {volume["persistentVolumeClaim"]["readOnly"], *allowed} == {not ours}


@pytest.mark.parametrize("overlay", ALL)
def test_jobs_are_off_or_on_a_volume_that_outlives_the_pod(overlay: str) -> None:
    folder = Settings.from_environment(environment(overlay)).jobs.dir
    pod = one(overlay, "Deployment")["spec"]["template"]["spec"]
    places = {mount["mountPath"]: mount["name"] for mount in container(overlay)["volumeMounts"]}
    if not any(component.startswith("jobs") for component in OWN.get(overlay, ("", []))[1]):
        assert folder is None
        return
    assert folder is not None
    # A folder of its own in the volume: the volume itself belongs to root, and is refused.
    name = places[str(folder.parent)]
    (volume,) = (found for found in pod["volumes"] if found["name"] == name)
    assert volume["persistentVolumeClaim"] == {"claimName": "g2d-jobs"}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


@pytest.mark.parametrize("overlay", sorted(OWN))
def test_several_replicas_share_jobs_in_a_database_and_sqlite_has_one(overlay: str) -> None:
    claim = one(overlay, "PersistentVolumeClaim", "g2d-jobs")["spec"]["accessModes"]
    replicas = one(overlay, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    deployment = one(overlay, "Deployment")["spec"]
    url = [item for item in container(overlay)["env"] if item["name"] == "G2D_JOBS_URL"]
    if replicas > 1:
        assert claim == ["ReadWriteMany"]
        (secret,) = (item["valueFrom"]["secretKeyRef"] for item in url)
        assert not secret.get("optional")
    else:
        assert (claim, url) == (["ReadWriteOncePod"], [])
        assert deployment["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("overlay", ALL)
def test_how_to_make_a_secret_is_documented(overlay: str) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    names = [item["name"] for item in container(overlay)["env"]]
    assert len(set(names)) == len(names)
    secrets = [
        item["valueFrom"]["secretKeyRef"]
        for item in container(overlay)["env"]
        if "valueFrom" in item
    ]
    assert {"name": "g2d-admin", "key": "token", "optional": True} in secrets
    for secret in secrets:
        assert f"create secret generic {secret['name']} " in page
        assert f"--from-literal={secret['key']}=" in page


def triton(overlay: str) -> tuple[Manifest, str, dict[str, str]]:
    """Return the container of Triton, its address, and the labels of its pods."""
    if overlay == "kserve":
        name = one(overlay, "InferenceService", "g2d-triton")["metadata"]["name"]
        (server,) = predictor(overlay)[0]["containers"]
        (port,) = server["ports"]
        labels = {"serving.kserve.io/inferenceservice": name}
        return server, f"{name}-predictor:{port['containerPort']}", labels
    service = one(overlay, "Service", "g2d-triton")
    template = one(overlay, "Deployment", "g2d-triton")["spec"]["template"]
    server = template["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    (port,) = (port for port in service["spec"]["ports"] if port["name"] == "grpc")
    assert port["port"] == ports[port["targetPort"]]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    return server, f"g2d-triton:{port['port']}", template["metadata"]["labels"]


@pytest.mark.parametrize("overlay", ["triton", "kserve"])
def test_the_service_finds_triton_and_may_reach_it(overlay: str) -> None:
    _, address, labels = triton(overlay)
    settings = Settings.from_environment(environment(overlay))
    assert (settings.runtime.backend, settings.triton.url) == ("triton", address)
    (out,) = one(overlay, "NetworkPolicy", "g2d-to-triton")["spec"]["egress"]
    assert out["to"] == [{"podSelector": {"matchLabels": labels}}]
    assert out["ports"][0]["port"] == int(address.partition(":")[2])
    policy = one(overlay, "NetworkPolicy", "g2d-triton")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert "egress" not in policy


@pytest.mark.parametrize("overlay", ["triton", "kserve"])
def test_triton_serves_the_repository_that_its_neighbour_renders(overlay: str) -> None:
    server, _, _ = triton(overlay)
    (pod,) = (pod for pod in pods(overlay) if server in containers(pod))
    (view,) = (item for item in containers(pod) if item["name"] == "view")
    mounts = {mount["name"]: mount["mountPath"] for mount in view["volumeMounts"]}
    assert view["args"][:4] == ["models", "triton", "--out", mounts["view"]]
    assert {"name": "G2D_MODELS_DIR", "value": mounts["models"]} in view["env"]
    served = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    assert f"--model-repository={served['view']}" in server["args"]
    # Loaded by the service one by one, or all at the start of each of many.
    mode = {"triton": "explicit", "kserve": "none"}[overlay]
    assert f"--model-control-mode={mode}" in server["args"]
    assert ("--watch" in view["args"]) == (mode == "explicit")
    assert not Settings.from_environment(environment(overlay)).triton.unload


def test_triton_is_the_same_as_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["triton"]
    server, _, _ = triton("triton")
    assert server["image"] in compose["image"]
    assert server["args"] == compose["command"]
    assert triton("kserve")[0]["image"] == server["image"]


def as_kubectl_writes(folder: Path) -> list[Any]:
    command = ["kubectl", "kustomize", str(folder)]  # reads files only
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", ALL)
def test_kubectl_builds_the_same_manifests(overlay: str, tmp_path: Path) -> None:
    def key(manifest: Manifest) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    ours = overlay not in OWN
    folder = DEPLOY / "overlays" / overlay if ours else write_own(tmp_path.resolve(), overlay)
    assert sorted(as_kubectl_writes(folder), key=key) == sorted(BUILT[overlay], key=key)


@pytest.mark.parametrize("overlay", ALL)
def test_clients_and_the_scraper_need_keys_from_secrets(overlay: str) -> None:
    given = {name: value for name, value in environment(overlay).items() if value}
    settings = Settings.from_environment(given)
    check_exposure(settings)
    assert not settings.security.allow_anonymous
    (mount,) = (found for found in container(overlay)["volumeMounts"] if found["name"] == "keys")
    assert Path(mount["mountPath"]) == Path(given["G2D_KEYS_FILE"]).parent
    assert mount["readOnly"]
    pod = one(overlay, "Deployment")["spec"]["template"]["spec"]
    (volume,) = (found for found in pod["volumes"] if found["name"] == "keys")
    assert "optional" not in volume["secret"]
    (endpoint,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"]["key"] == "token"
