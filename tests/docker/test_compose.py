"""docker-compose.yml: what starts by default, what is reachable, and that its parts agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.auth.access import check_exposure
from service.errors import InvalidSettings
from service.settings import OPTIONS, PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMES = sorted(SERVICES)
OURS = ("gpu", "service", "triton-service")
DOCKERFILE = (ROOT / "docker/service.Dockerfile").read_text()


def without_variables(text: str) -> str:
    """Return the text with the default of each variable."""
    return re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", text)


def test_one_service_starts_by_itself() -> None:
    assert [name for name in NAMES if "profiles" not in SERVICES[name]] == ["service"]


def test_the_profiles_are_those_that_are_documented() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    text = (ROOT / "docker-compose.yml").read_text()
    assert profiles == {"gpu", "triton", "observability", "pacs", "training"}
    assert all(f"--profile {profile} " in text for profile in profiles)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_is_not_ours_has_a_pinned_tag(name: str) -> None:
    image = without_variables(SERVICES[name]["image"])
    if not image.startswith("g2d-radiograph:"):
        assert re.search(r":v?\d+\.\d+", image), image


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_published_to_this_host_only(name: str) -> None:
    ports = [without_variables(port) for port in SERVICES[name].get("ports", ())]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_no_two_services_publish_one_port() -> None:
    ports = [
        without_variables(port).split(":")[1]
        for service in SERVICES.values()
        for port in service.get("ports", ())
    ]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_service_mounts_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = without_variables(volume).split(":")[0]
        if source in ("./models", "./data"):
            continue
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_service_refers_to_exists(name: str) -> None:
    service = SERVICES[name]
    # podman-compose knows no `default` network that is not declared.
    assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"training"}))
def test_a_service_that_listens_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_loosens_the_default_confinement_of_the_engine(name: str) -> None:
    service = SERVICES[name]
    loosening = {"privileged", "cap_add", "pid", "ipc", "network_mode", "userns_mode", "devices"}
    assert loosening & service.keys() == set()
    options = service["security_opt"]
    assert not any("unconfined" in option or "label" in option for option in options)
    assert "/var/run/docker.sock" not in str(service.get("volumes", ()))


@pytest.mark.parametrize("name", ["ohif", "orthanc", "service", "training"])
def test_an_image_ends_as_a_user_without_privileges(name: str) -> None:
    text = (ROOT / f"docker/{name}.Dockerfile").read_text()
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert users
    assert all(int(part) >= 10_000 for part in users[-1])
    assert "sudo" not in text
    assert not re.search(r"chmod .*(\+s|[2467]7\d\d)", text)


def environment(name: str) -> dict[str, str]:
    """Return the default environment of a service, on top of that of its image."""
    image = dict(re.findall(r"^(?:ENV|   ) (G2D_\w+)=(\S+)", DOCKERFILE, re.MULTILINE))
    given = SERVICES[name]["environment"].items()
    return image | {key: without_variables(value) for key, value in given}


def mounted(name: str) -> dict[str, tuple[str, str]]:
    """Return the source and mode of each mount by its path in the container."""
    volumes = [without_variables(volume).split(":") for volume in SERVICES[name]["volumes"]]
    return {place: (source, "".join(mode)) for source, place, *mode in volumes}


@pytest.mark.parametrize("name", OURS)
def test_the_environment_consists_of_valid_settings(name: str) -> None:
    given = {key: value for key, value in environment(name).items() if key.startswith(PREFIX)}
    assert {key.removeprefix(PREFIX).lower() for key in given} <= OPTIONS.keys()
    settings = Settings.from_environment(given)
    assert settings.security.admin_token is None
    check_exposure(settings)
    gib = int(SERVICES[name]["mem_limit"].removesuffix("g"))
    assert settings.decoding.memory_bytes <= gib * 1024**3 / 2


def test_jobs_are_on_a_volume_of_the_service_that_its_user_owns() -> None:
    made = re.findall(r"install --directory --owner g2d --group g2d ([^\\\n]+)", DOCKERFILE)
    folders = {word for line in made for word in line.split()}
    names = set()
    for name in OURS:
        place = str(Settings.from_environment(environment(name)).jobs.dir)
        source, mode = mounted(name)[place]
        assert source in COMPOSE["volumes"]
        assert (mode, place in folders) == ("", True)
        names.add(source)
    assert len(names) == len(OURS)


def test_an_audit_log_is_on_a_volume_of_the_service_and_kept_on_request() -> None:
    sources, writers = set(), set()
    for name in OURS:
        source, mode = mounted(name)["/srv/g2d/audit"]
        assert (source in COMPOSE["volumes"], mode) == (True, "")
        given = environment(name)
        assert not Settings.from_environment(given).audit.enabled
        file = {"G2D_AUDIT_FILE": "/srv/g2d/audit/audit.sqlite"}
        assert Settings.from_environment(given | file).audit.enabled
        sources.add(source)
        writers.add(given["G2D_AUDIT_WRITER"])
    assert re.search(r"--mode 0700 .*/srv/g2d/audit\b", DOCKERFILE)
    assert (len(sources), len(writers)) == (len(OURS), len(OURS))


@pytest.mark.parametrize("name", OURS)
def test_keys_are_in_a_volume_and_asked_for_on_request(name: str) -> None:
    assert mounted(name)["/srv/g2d/keys"] == ("keys", "")
    assert re.search(r"--mode 0700 .*/srv/g2d/keys\b", DOCKERFILE)
    given = environment(name) | {"G2D_ALLOW_ANONYMOUS": "false"}
    with pytest.raises(InvalidSettings, match="G2D_ALLOW_ANONYMOUS"):
        check_exposure(Settings.from_environment(given))
    check_exposure(Settings.from_environment(given | {"G2D_KEYS_FILE": "/srv/g2d/keys/keys.json"}))


@pytest.mark.parametrize("name", OURS)
def test_models_are_read_only_and_changes_are_off_by_default(name: str) -> None:
    assert mounted(name)["/srv/g2d/models"] == ("./models", "ro")
    assert "${G2D_MODELS_MODE:-ro}" in SERVICES[name]["volumes"][0]
    assert SERVICES[name]["environment"]["G2D_ADMIN_TOKEN"] == "${G2D_ADMIN_TOKEN:-}"


@pytest.mark.parametrize("extra", ["dicom-results", "otel", "postgres"])
@pytest.mark.parametrize("runtime", ["serve", "gpu", "triton"])
def test_the_pins_of_an_extra_agree_with_those_of_the_image(runtime: str, extra: str) -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "constraints" / f"{name}.txt").read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))

    image, more = pins(runtime), pins(extra)
    brought = {"dicom-results": "highdicom", "otel": "opentelemetry-sdk", "postgres": "psycopg"}
    assert brought[extra] in more
    assert {name for name in image.keys() & more if image[name] != more[name]} == set()
    assert f"constraints/{extra}.txt" in DOCKERFILE
