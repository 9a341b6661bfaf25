"""docs/example.py draws a phantom, and says what it lacks."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "docs/example.py"


def run(*arguments: str, isolated: bool = False) -> "subprocess.CompletedProcess[str]":
    options = ["-I", "-S"] if isolated else []
    command = [sys.executable, *options, str(EXAMPLE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_phantom_is_drawn(tmp_path: Path) -> None:
    assert run(str(tmp_path / "phantom.png")).returncode == 0
    with Image.open(tmp_path / "phantom.png") as image:
        assert (image.mode, image.size) == ("L", (600, 640))


@pytest.mark.parametrize(
    ("arguments", "isolated", "told"),
    [
        (["phantom.png"], True, ".venv/serve/bin/python docs/example.py phantom.png"),
        ([], False, "name the file to write, such as phantom.png"),
    ],
)
def test_what_is_missing_is_said_without_a_traceback(
    arguments: list[str], isolated: bool, told: str
) -> None:
    done = run(*arguments, isolated=isolated)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not isolated or "numpy is not installed for " in done.stderr
