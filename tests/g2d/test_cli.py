"""The command reports failures in one line, imports only what it needs, and has helpful help."""

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from g2d import cli
from g2d.cli import COMMANDS, EXTRAS, app
from radiograph.errors import MalformedInput, ModelNotFound
from tests.builders.g2d.command_line import failed, g2d

ROOT = Path(__file__).parents[2]


def add_failing_command(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Add a sub-command `fail` that raises."""

    def fail() -> None:
        raise failure

    monkeypatch.setattr(cli, "failing", fail, raising=False)
    monkeypatch.setitem(COMMANDS, "fail", "g2d.cli:failing")


@pytest.mark.parametrize(
    ("failure", "message", "code"),
    [
        (MalformedInput("not a DICOM file"), "not a DICOM file", 3),
        (MalformedInput("two\nlines"), "two lines", 3),
        (MalformedInput(), "MalformedInput", 3),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x.dcm"), "'x.dcm'", 3),
        (ModuleNotFoundError("torch", name="torch"), "pip install 'g2d-radiograph[train]'", 2),
        (ModuleNotFoundError("uvicorn", name="uvicorn.config"), "'g2d-radiograph[serve]'", 2),
        (ModuleNotFoundError("httpx", name="httpx"), "'g2d-radiograph[client]'", 2),
        (ModelNotFound("no model", Path("/srv/models")), "no model in /srv/models", 4),
    ],
)
def test_an_error_raised_on_purpose_is_one_line(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str, code: int
) -> None:
    add_failing_command(monkeypatch, failure)
    failed(g2d("fail"), message, code)


def test_commands_of_training_tell_refusals_apart(tmp_path: Path) -> None:
    run, missing = str(tmp_path / "run"), str(tmp_path / "data")
    for command, message, code in (
        (["pretrain", "nothing"], "no configuration nothing", 2),
        (["pretrain", "shipped_pretrain", "--data", missing], missing, 3),
        (["prepare", "shipped_pretrain", "--data", missing], missing, 3),
        (["evaluate", run], run, 4),
        (["export", run], run, 4),
        (["publish", run], run, 4),
        (["export-checkpoint", run, "--out", "a.pth"], run, 4),
        (["import-checkpoint", run, "--out", str(tmp_path / "new")], run, 4),
        (["table", "1", "--pretrained", run], run, 2),
    ):
        failed(g2d(*command), message, code)


def test_a_checkpoint_of_another_kind_is_refused_before_any_work(tmp_path: Path) -> None:
    out = str(tmp_path / "model.onnx")
    failed(g2d("export-checkpoint", "run", "--out", out), "a checkpoint is a .pth or .safetensors")


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
        ["finetune", "shipped_finetune"], ["prepare", "g2d_paper"], ["export", "run"],
        ["publish", "run"], ["import-checkpoint", "a.pth", "--out", "b"],
        ["export-checkpoint", "run", "--out", "b"],
        ["import-version", "g2d-cxr", "stable", "--out", "b"],
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
    always = {"PIL", "numpy", "pydantic", "pydantic_core", "pydicom", "radiograph"}
    assert found - always - set(sys.stdlib_module_names) <= EXTRAS.keys()


def test_the_version_is_printed() -> None:
    result = g2d("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("g2d ")


def test_a_command_whose_module_is_not_installed_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "absent", "g2d.commands.absent:run")
    monkeypatch.setitem(COMMANDS, "empty", "g2d.commands.models.models:no_such_function")
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
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"g2d: error: no model 'nobody' in {tmp_path}\n"


@pytest.mark.parametrize(
    ("given", "present"),
    [
        (["publish", "run", "--models", "a"], ["run", "--models-dir", "a"]),
        (["publish", "run", "--name=a", "--sign=k"], ["run", "--model=a", "--key=k"]),
        (["keys", "list", "--file=a"], ["list", "--keys-file=a"]),
        (["models", "triton", "--name", "a"], ["triton", "--model", "a"]),
        (["models", "verify", "--key", "a"], ["verify", "--trusted-keys", "a"]),
        (["models", "sign", "--key", "a"], ["sign", "--key", "a"]),
        (["predict", "--", "--name"], ["--", "--name"]),
        (["keys", "revoke", "--", "--file"], ["revoke", "--", "--file"]),
    ],
)
def test_an_earlier_name_of_an_option_is_accepted(given: list[str], present: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, cli.Commands)
    assert group.resolve_command(typer.Context(group), list(given))[2] == present


def test_an_earlier_name_is_that_of_a_present_option_and_not_shown() -> None:
    for command, names in cli.EARLIER_OPTIONS.items():
        inner = ["create"] if command == "keys" else []
        shown = g2d(*command.split(), *inner, "--help").stdout
        for earlier, present in names.items():
            assert re.search(rf"{present}\b", shown), (command, present)
            assert not re.search(rf"{earlier} ", shown), (command, earlier)
