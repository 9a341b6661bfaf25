"""The command reports failures in one line, imports only what it needs, and has helpful help."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from g2d import cli
from g2d.cli import COMMANDS, EXTRAS, app
from radiograph.errors import MalformedInput
from tests.builders.g2d.command_line import failed, g2d

ROOT = Path(__file__).parents[2]


def add_failing_command(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Add a sub-command `fail` that raises."""

    def fail() -> None:
        raise failure

    monkeypatch.setattr(cli, "failing", fail, raising=False)
    monkeypatch.setitem(COMMANDS, "fail", "g2d.cli:failing")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (MalformedInput("not a DICOM file"), "not a DICOM file"),
        (MalformedInput("two\nlines"), "two lines"),
        (MalformedInput(), "MalformedInput"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x.dcm"), "'x.dcm'"),
        (ModuleNotFoundError("torch", name="torch"), "pip install 'g2d-radiograph[train]'"),
        (ModuleNotFoundError("uvicorn", name="uvicorn.config"), "'g2d-radiograph[serve]'"),
    ],
)
def test_an_error_raised_on_purpose_is_one_line(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    add_failing_command(monkeypatch, failure)
    failed(g2d("fail"), message)


@pytest.mark.parametrize(
    "failure",
    [ValueError("a defect"), ModuleNotFoundError("radiograf", name="radiograf")],
)
def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    add_failing_command(monkeypatch, failure)
    assert g2d("fail").exception is failure


WITHOUT_TRAINING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from g2d.__main__ import main
main()
"""
"""Program that runs `g2d` as if no package of the extra `train` were installed."""


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "run"], ["ablation"], ["table", "1"], ["pretrain", "g2d_paper"],
        ["finetune", "small_finetune"], ["prepare", "g2d_paper"], ["export", "run"],
        ["publish", "run"], ["import-checkpoint", "a.pth", "--out", "b"],
        ["export-checkpoint", "run", "--out", "b"],
    ],
)  # fmt: skip
def test_a_command_of_training_names_its_extra_in_the_serving_environment(
    command: list[str],
) -> None:
    extras = {name for name, extra in EXTRAS.items() if extra == "train"} - {"training"}
    program = WITHOUT_TRAINING.replace("{extras}", repr(extras))
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("g2d: error: this command needs ")
    assert line.endswith("pip install 'g2d-radiograph[train]'")


def test_every_package_that_training_imports_names_its_extra() -> None:
    found: set[str] = set()
    for path in (ROOT / "training").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    always = {"PIL", "numpy", "pydantic", "pydantic_core", "radiograph"}
    assert found - always - set(sys.stdlib_module_names) <= EXTRAS.keys()


def test_the_version_is_printed() -> None:
    result = g2d("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("g2d ")


def test_a_command_whose_module_is_not_installed_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "absent", "g2d.absent:run")
    monkeypatch.setitem(COMMANDS, "empty", "g2d.models:no_such_function")
    result = g2d("--help")
    assert result.exit_code == 0
    assert "absent" not in result.stdout
    for name in ("absent", "empty", "nonsense"):
        assert "No such command" in g2d(name).stderr


def test_every_command_of_an_installed_module_has_help_with_an_example() -> None:
    context = typer.Context(typer.main.get_command(app))
    group = typer.main.get_command(app)
    assert isinstance(group, cli.Commands)
    for name in group.list_commands(context):
        result = g2d(name, "--help")
        assert result.exit_code == 0, name
        assert f"g2d {name}" in result.stdout, f"the help of {name} shows no example"


def test_python_dash_m_is_the_same_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "G2D_MODELS_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "g2d", "models", "show", "nobody"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "g2d: error: no model 'nobody'\n"
