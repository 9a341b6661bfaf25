"""Every command of the README is run, or checked against what it names where it cannot be run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from typer.core import TyperGroup

from docs.example import phantom
from g2d.cli import Commands, app
from tests.builders.files import sample_files
from tests.builders.service.pages import served_page
from tests.builders.service.results.dicom_results import SERIES, STUDY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
]
PYTHON = [block for language, block in BLOCKS if language == "python"]
RUN = {"predict", "--help"}
"""Commands of `g2d` that are run; the others change a repository or train for hours."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def of(program: str) -> list[list[str]]:
    """Return the commands of a program, each as its words."""
    return [words for words in COMMANDS if words[0] == program]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the radiographs that the README names."""
    made = tmp_path_factory.mktemp("reader")
    pixels = np.asarray(phantom())
    file = sample_files.dicom_file(
        pixels.astype(np.uint16), StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES
    )
    (made / "chest.dcm").write_bytes(file)
    (made / "chest.png").write_bytes(sample_files.png_file(pixels))
    (made / "scans").mkdir()
    shutil.copy(made / "chest.dcm", made / "scans")
    return made


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service with the shipped model."""
    state = tmp_path_factory.mktemp("state")
    with served_page.serving(ROOT / "models", state, default_model="g2d-cxr") as found:
        yield found


def run(folder: Path, *command: str) -> str:
    """Run a command in the working folder and return what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "G2D_MODELS_DIR": str(ROOT / "models"),
        "G2D_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_is_of_a_program_that_a_test_below_knows() -> None:
    assert {words[0] for words in COMMANDS} == {"curl", "docker", "g2d", "kubectl", "make", "pip"}
    assert {language for language, _ in BLOCKS} == {"", "python"}
    assert len(COMMANDS) >= 18


def test_every_target_of_make_exists() -> None:
    named = {words[1] for words in of("make")} | set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert {"serve", "test", "model", "wheels", "docs"} <= named
    for target in named:
        assert re.search(rf"^{target}: .*##", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_requests_are_answered(folder: Path, address: str) -> None:
    first, second = of("curl")
    here = address.removeprefix("http://")
    words = [word.replace("127.0.0.1:8000", here) for word in first]
    masks = json.loads(run(folder, *words, "--silent"))["masks"]
    assert {"Left lung", "Right lung"} <= {mask["name"] for mask in masks}
    run(folder, *[word.replace("127.0.0.1:8000", here) for word in second], "--silent")
    with Image.open(folder / second[-1]) as overlay:
        assert (overlay.format, overlay.size) == ("PNG", (600, 640))


def test_commands_that_only_read_are_run(folder: Path) -> None:
    chosen = [words for words in of("g2d") if words[1] in RUN or words[1:] == ["models", "list"]]
    assert len(chosen) == 5
    printed = {" ".join(words): run(folder, sys.executable, "-m", *words) for words in chosen}
    assert "overlay.png" in chosen[0]
    assert (folder / "overlay.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "objects").rglob("*.dcm"))
    assert "scans/chest.dcm" in printed["g2d predict scans/ --format csv"]
    assert re.search(r"g2d-cxr +\d+ +stable", printed["g2d models list"])


@pytest.mark.parametrize("words", of("g2d"), ids=" ".join)
def test_options_of_every_command_are_accepted(words: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, Commands)
    if words[1:] == ["--help"]:
        return
    context = typer.Context(group)
    name, command, rest = group.resolve_command(context, words[1:])
    made = command.make_context(name, list(rest), resilient_parsing=False)
    if isinstance(command, TyperGroup):
        inner, chosen, rest = command.resolve_command(made, [*made._protected_args, *made.args])
        assert chosen is not None
        chosen.make_context(inner, list(rest))


@pytest.mark.parametrize("client", [False, True])
def test_the_program_runs_with_a_model_and_with_a_client(
    folder: Path, address: str, client: bool
) -> None:
    (program,) = PYTHON
    assert "g2d.load()" in program
    if client:
        program = program.replace("g2d.load()", f'g2d.Client("{address}")')
    run(folder, sys.executable, "-c", program)


def test_what_is_installed_is_offered() -> None:
    (words,) = of("pip")
    (extras,) = re.findall(r"\.\[(.+)\]", words[-1])
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    assert (ROOT / words[words.index("-c") + 1]).is_file()


def test_what_is_deployed_exists() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for words in of("docker"):
        profiles = {words[words.index("--profile") + 1]} if "--profile" in words else set()
        known = {name for service in services.values() for name in service.get("profiles", ())}
        assert profiles <= known
        assert set(words[words.index("up") + 1 :]) <= services.keys()
    for words in of("kubectl"):
        assert (ROOT / words[-1] / "kustomization.yaml").is_file()
