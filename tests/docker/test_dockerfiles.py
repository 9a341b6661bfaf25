"""The instructions of each Dockerfile: what they copy exists, and what they leave is wanted."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
NAMES = [path.name.removesuffix(".Dockerfile") for path in FILES]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a file in order, each as its name and its arguments."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in found]


def of_kind(path: Path, kind: str) -> list[str]:
    return [rest for name, rest in instructions(path) if name == kind]


def defaults(path: Path) -> dict[str, str]:
    """Return the arguments of a build and their defaults."""
    return dict(rest.split("=", 1) for rest in of_kind(path, "ARG") if "=" in rest)


@pytest.fixture(params=FILES, ids=NAMES)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_instruction_is_one_that_is_meant(dockerfile: Path) -> None:
    meant = {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "VOLUME"}
    meant |= {"STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "LABEL", "SHELL"}
    assert {name for name, _ in instructions(dockerfile)} <= meant  # no ADD, which also downloads


def test_every_base_has_a_tag_or_is_a_stage(dockerfile: Path) -> None:
    stages: set[str] = set()
    for rest in of_kind(dockerfile, "FROM"):
        base, *name = rest.split(" AS ")
        base = re.sub(r"\$\{?(\w+)\}?", lambda found: defaults(dockerfile)[found[1]], base)
        assert base in stages or re.search(r":[\w.-]*[\w]$", base), base
        assert not base.endswith(":latest")
        stages |= set(name)


def test_what_is_copied_from_here_exists(dockerfile: Path) -> None:
    values = defaults(dockerfile)
    for rest in of_kind(dockerfile, "COPY"):
        words = [word for word in rest.split() if not word.startswith("--")]
        if "--from=" in rest:
            continue
        for word in words[:-1]:
            source = re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], word)
            assert list(ROOT.glob(source)), source


def test_packages_come_without_others_and_without_their_lists(dockerfile: Path) -> None:
    for rest in of_kind(dockerfile, "RUN"):
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "--yes" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest


def test_nothing_is_piped_from_the_network_into_a_shell(dockerfile: Path) -> None:
    for rest in of_kind(dockerfile, "RUN"):
        assert not re.search(r"(curl|wget)[^&;]*\|\s*(ba)?sh", rest)
        if "pip install" in rest or "pip --python" in rest:
            assert any(option in rest for option in ("--require-hashes", "--no-index")), rest


def test_nothing_secret_is_an_argument_or_a_variable(dockerfile: Path) -> None:
    for rest in (*of_kind(dockerfile, "ARG"), *of_kind(dockerfile, "ENV")):
        assert not re.search(r"PASSWORD|SECRET|TOKEN|_KEY=", rest, re.IGNORECASE)


def test_the_command_is_a_list_so_that_signals_arrive(dockerfile: Path) -> None:
    for kind in ("ENTRYPOINT", "CMD"):
        for rest in of_kind(dockerfile, kind):
            assert all(isinstance(word, str) for word in json.loads(rest))


def test_the_service_says_when_it_is_healthy_by_a_script_that_it_has() -> None:
    path = ROOT / "docker/service.Dockerfile"
    (check,) = of_kind(path, "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    copied = [rest.split() for rest in of_kind(path, "COPY")]
    folder = next(words[-1] for words in copied if "docker/healthcheck.py" in words)
    assert command[-1] == f"{folder}healthcheck.py"


def test_nothing_follows_the_user_that_needs_another() -> None:
    for path in FILES:
        names = [name for name, _ in instructions(path)]
        last = len(names) - 1 - names[::-1].index("USER")
        assert not {"RUN", "COPY"} & set(names[last:]), path.name
