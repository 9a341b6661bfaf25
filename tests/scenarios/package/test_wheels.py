"""The wheels, installed in a fresh environment, work in an empty folder.

The dependencies are those of the environment that runs the tests; `make check-wheels` installs them
as well.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import g2d
from docs.example import phantom
from wheels import model_wheel

ROOT = Path(__file__).parents[3]
PACKAGES = ("g2d", "radiograph", "service", "training")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both wheels, built from a copy, so that nothing of an earlier build gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / file, source)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*PIP, "wheel", *options, "--wheel-dir", out, source], check=True)
    model_wheel.build(out)
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a fresh environment with both wheels."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    options = ["--quiet", "--no-deps", "--no-index"]
    subprocess.run([*PIP, "--python", python, "install", *options, *wheels], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty working folder, and a radiograph beside it."""
    phantom().save(tmp_path / "phantom.png")
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def started(environment: Path, cwd: Path, *command: str) -> "subprocess.Popen[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("G2D_", "PYTHON"))}
    return subprocess.Popen(
        [environment / "g2d", *command],
        cwd=cwd,
        env={**kept, "G2D_THREADS": "1", "XDG_STATE_HOME": str(cwd.parent / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_wheel_holds_every_file_of_the_packages(wheels: list[Path]) -> None:
    _, software = wheels
    with zipfile.ZipFile(software) as archive:
        held = set(archive.namelist())
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.*")]
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - held == set()


def test_the_model_wheel_holds_the_stable_version_alone(wheels: list[Path]) -> None:
    model, _ = wheels
    with zipfile.ZipFile(model) as archive:
        names = archive.namelist()
        aliases = json.loads(archive.read("g2d_cxr_model/models/g2d-cxr/aliases.json"))
    number = model.name.split("-")[1]
    assert [entry["version"] for entry in aliases["aliases"]["stable"]] == [int(number)]
    assert f"g2d_cxr_model/models/g2d-cxr/{number}/manifest.json" in names
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert {name.split("/")[3] for name in names if re.search(r"g2d-cxr/\d", name)} == {number}


def test_predict_and_models_work_in_an_empty_folder(environment: Path, empty: Path) -> None:
    listed, _ = started(environment, empty, "models", "list").communicate(timeout=120)
    assert re.search(r"^g2d-cxr +\d+ +stable", listed, re.MULTILINE)
    predict = started(environment, empty, "predict", "../phantom.png", "--task", "segment")
    answer, errors = predict.communicate(timeout=300)
    assert predict.returncode == 0, errors
    assert {"Left lung", "Right lung"} <= {mask["name"] for mask in json.loads(answer)["masks"]}
    assert list(empty.iterdir()) == []


@contextmanager
def served(environment: Path, empty: Path) -> Iterator[str]:
    """A service of the installed command, and its address."""
    with started(environment, empty, "serve", "--port", "0") as process:
        try:
            assert process.stderr is not None
            found = (re.search(r"http://\S+:\d+", line) for line in process.stderr)
            yield next(match[0] for match in found if match)
        finally:
            process.kill()


def test_serve_works_in_an_empty_folder(environment: Path, empty: Path) -> None:
    with served(environment, empty) as url:
        retries = g2d.Retries(times=100, longest_wait_s=5)  # until the model is loaded
        with g2d.Client(url, retries=retries) as client:
            result = client.segment(empty.parent / "phantom.png")
    assert result.model.name == "g2d-cxr"
    assert result.mask("Left lung").area_px > 10_000
