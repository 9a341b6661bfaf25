"""The command line: which sub-commands there are, and how a failure is told.

    g2d NAME ... -> Commands.get_command -> import g2d.<module> -> its function

A sub-command's module is imported when it is called for or when its help is shown. A failure
that the project raises on purpose is one line on standard error and exit status 2, the status
of a wrong command line; anything else is a defect and keeps its traceback.
"""

import importlib
import importlib.util
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from radiograph.errors import RadiographError

DISTRIBUTION = "g2d-radiograph"

COMMANDS = {
    "serve": "g2d.serve:serve",
    "predict": "g2d.predict:predict",
    "models": "g2d.models:app",
    "prepare": "g2d.training:prepare",
    "pretrain": "g2d.training:pretrain",
    "finetune": "g2d.training:finetune",
    "ablation": "g2d.training:ablation",
    "table": "g2d.experiments:table",
    "evaluate": "g2d.training:evaluate",
    "zero-shot": "g2d.zero_shot:zero_shot",
    "export": "g2d.training:export",
    "publish": "g2d.training:publish",
    "import-checkpoint": "g2d.checkpoints:import_checkpoint",
    "export-checkpoint": "g2d.checkpoints:export_checkpoint",
}
"""Sub-command -> module:attribute, a function or a `typer.Typer`, in the order of the help."""

EXTRAS = {
    "onnxruntime": "serve",
    "fastapi": "serve",
    "prometheus_client": "serve",
    "uvicorn": "serve",
    "tokenizers": "serve",
    "tritonclient": "triton",
    "torch": "train",
    "training": "train",
    "onnx": "train",
    "safetensors": "train",
    "yaml": "train",
}
"""Package that a sub-command may miss -> the extra of this distribution that brings it."""


class Commands(TyperGroup):
    """Sub-commands that are imported one by one; failures told in one line."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Names of the sub-commands whose module is installed."""
        return [name for name, place in COMMANDS.items() if _installed(place)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the same
        """One sub-command, or None when there is none of that name."""
        place = COMMANDS.get(cmd_name)
        return None if place is None or not _installed(place) else _load(cmd_name, place)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command.

        Raises:
            typer.Exit: it failed for a reason that one line can tell.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our output has left; the framework's matter
            raise
        except (RadiographError, OSError) as error:
            raise _told(str(error) or type(error).__name__) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            extra = f"pip install '{DISTRIBUTION}[{EXTRAS[package]}]'"
            raise _told(f"this command needs {package}: {extra}") from error


def _told(message: str) -> typer.Exit:
    """Say why in one line, whatever the message holds, and give the exit to raise."""
    line = " ".join(message.split())
    typer.echo(f"g2d: error: {line}", err=True)
    return typer.Exit(2)


def _installed(place: str) -> bool:
    return importlib.util.find_spec(place.partition(":")[0]) is not None


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    target = getattr(importlib.import_module(module), attribute, None)
    if target is None:
        return None
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False, rich_markup_mode=None)
        target.command(name)(function)
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it would show values, and so perhaps a patient's
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"g2d {metadata.version(DISTRIBUTION)}")
    except metadata.PackageNotFoundError:
        typer.echo("g2d (run from its sources, not installed)")
    raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Chest radiographs: labels, masks, boxes and grounded phrases.

    \b
    Answer one radiograph, or serve the shipped model:
      g2d predict chest.dcm --task segment --out overlay.png
      g2d serve
      curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/segment

    \b
    See what is there, move a name to another version, and back:
      g2d models list
      g2d models alias g2d-cxr stable 2
      g2d models rollback g2d-cxr

    \b
    Make a version:
      g2d pretrain ... ; g2d finetune ... ; g2d evaluate ... ; g2d export ... ; g2d publish ...

    `g2d COMMAND --help` tells more of each.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
