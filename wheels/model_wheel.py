"""Build the wheel g2d-cxr-model: the version that an alias points to, as package data.

    python -m wheels.model_wheel dist

The number of the wheel is that of the version. Files are copied, and digests verified, so that the
installed version is the published one.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from radiograph.repository.repository import DEFAULT_ALIAS, Repository
from radiograph.repository.shipped import DISTRIBUTION, PACKAGE

ROOT = Path(__file__).parents[1]
NAME = "g2d-cxr"

PROJECT = f"""
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{DISTRIBUTION}"
version = "{{version}}"
description = "The model g2d-cxr for chest radiographs, as data of g2d-radiograph"
readme = "README.md"
license = "Apache-2.0"
license-files = ["LICENSE", "NOTICE"]
requires-python = ">=3.11"

[tool.setuptools]
packages = ["{PACKAGE}"]

[tool.setuptools.package-data]
{PACKAGE} = ["models/**"]
"""


def build(out: Path, models: Path = ROOT / "models") -> Path:
    """Build the wheel into a folder, and return it.

    Raises:
        ModelNotFound: the folder of models has no such version.
        InvalidVersion: the version fails verification.
        subprocess.CalledProcessError: the wheel cannot be built.
    """
    number = Repository(models).resolve(NAME, DEFAULT_ALIAS)
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        for file in (ROOT / "LICENSE", ROOT / "NOTICE", ROOT / "wheels/README.md"):
            shutil.copy(file, stage)
        shutil.copytree(ROOT / "wheels" / PACKAGE, stage / PACKAGE)
        (stage / "pyproject.toml").write_text(PROJECT.format(version=number))
        _copy_version(models, stage / PACKAGE / "models", number)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--wheel-dir", str(out), str(stage)]
        subprocess.run(command, check=True)  # noqa: S603 - our own command
    return out / f"{PACKAGE}-{number}-py3-none-any.whl"


def _copy_version(models: Path, target: Path, number: int) -> None:
    """Copy one version with its pin and its alias, and verify the copy."""
    source, folder = models / NAME, target / NAME
    shutil.copytree(source / str(number), folder / str(number))
    for signature in source.glob(f"{number}.minisig"):
        shutil.copy(signature, folder)
    index, aliases = _read(source / "index.json"), _read(source / "aliases.json")
    index["digests"] = {str(number): index["digests"][str(number)]}
    aliases["aliases"] = {DEFAULT_ALIAS: aliases["aliases"][DEFAULT_ALIAS][-1:]}
    (folder / "index.json").write_text(json.dumps(index, indent=2))
    (folder / "aliases.json").write_text(json.dumps(aliases, indent=2))
    copy = Repository(target)
    if not copy.verify(NAME, copy.resolve(NAME, DEFAULT_ALIAS)).pinned:
        raise RuntimeError("the copy has no pin")


def _read(file: Path) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(file.read_text())
    return members


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
