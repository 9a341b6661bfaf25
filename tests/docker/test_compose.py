"""docker-compose.yml: what starts by itself, what is reachable, and that its parts fit together."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMES = sorted(SERVICES)


def without_variables(text: str) -> str:
    """The text as it is where no variable is set."""
    return re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", text)


def test_one_service_starts_by_itself() -> None:
    assert [name for name in NAMES if "profiles" not in SERVICES[name]] == ["service"]


def test_the_profiles_are_those_that_are_documented() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    text = (ROOT / "docker-compose.yml").read_text()
    assert profiles == {"gpu", "triton", "observability", "training"}
    assert all(f"--profile {profile} " in text for profile in profiles)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_is_not_ours_has_a_pinned_tag(name: str) -> None:
    image = without_variables(SERVICES[name]["image"])
    if not image.startswith("g2d-radiograph:"):
        assert re.search(r":v?\d+\.\d+", image), image


@pytest.mark.parametrize("name", NAMES)
def test_a_port_is_published_to_this_host_alone(name: str) -> None:
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
def test_what_a_service_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = without_variables(volume).split(":")[0]
        if source in ("./models", "./data"):
            continue
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("networks", ())) <= {*COMPOSE["networks"], "default"}
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


@pytest.mark.parametrize("runtime", ["serve", "gpu"])
def test_the_traces_of_the_image_need_no_other_pins(runtime: str) -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "constraints" / f"{name}.txt").read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))

    image, traces = pins(runtime), pins("otel")
    assert "opentelemetry-sdk" in traces
    assert {name for name in image.keys() & traces if image[name] != traces[name]} == set()
