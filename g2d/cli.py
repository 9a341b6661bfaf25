"""The command line: its sub-commands, and how failures are reported.

    g2d NAME ... -> Commands.get_command -> import g2d.<module> -> its function

The module of a sub-command is imported when the command is called or its help is shown. An error
that the project raises on purpose is reported in one line on standard error with exit status 2,
as a wrong command line is; any other exception is a defect and keeps its traceback.
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
    "ablation": "g2d.experiments:ablation",
    "table": "g2d.experiments:table",
    "evaluate": "g2d.training:evaluate",
    "zero-shot": "g2d.zero_shot:zero_shot",
    "export": "g2d.training:export",
    "publish": "g2d.training:publish",
    "import-checkpoint": "g2d.checkpoints:import_checkpoint",
    "export-checkpoint": "g2d.checkpoints:export_checkpoint",
}
"""Module and attribute (a function or a `typer.Typer`) of each sub-command, in help order."""

EXTRAS = {
    "onnxruntime": "serve",
    "fastapi": "serve",
    "prometheus_client": "serve",
    "uvicorn": "serve",
    "tokenizers": "serve",
    "tritonclient": "triton",
    "onnx": "serve",
    "huggingface_hub": "train",
    "lightning": "train",
    "boto3": "shards",
    "botocore": "shards",
    "litdata": "shards",
    "safetensors": "train",
    "scipy": "train",
    "segmentation_models_pytorch": "train",
    "sklearn": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "tqdm": "train",
    "training": "train",
    "transformers": "train",
    "yaml": "train",
}
"""Extra of this distribution that installs each package that a sub-command may lack."""


class Commands(TyperGroup):
    """Group of sub-commands that are imported on demand; errors are reported in one line."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Return the names of the sub-commands whose module is installed."""
        return [name for name, place in COMMANDS.items() if _installed(place)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the same
        """Return a sub-command, or None if there is none of that name."""
        place = COMMANDS.get(cmd_name)
        return None if place is None or not _installed(place) else _load(cmd_name, place)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command.

        Raises:
            typer.Exit: the sub-command failed with an error that was reported in one line.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output is gone; typer handles it
            raise
        except (RadiographError, OSError) as error:
            raise _report(str(error) or type(error).__name__) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            extra = f"pip install '{DISTRIBUTION}[{EXTRAS[package]}]'"
            raise _report(f"this command needs {package}: {extra}") from error


def _report(message: str) -> typer.Exit:
    """Print a message as one line on standard error and return the exit to raise."""
    line = " ".join(message.split())
    typer.echo(f"g2d: error: {line}", err=True)
    return typer.Exit(2)


def _installed(place: str) -> bool:
    """Return whether the module of a sub-command can be imported."""
    return importlib.util.find_spec(place.partition(":")[0]) is not None


def _load(name: str, place: str) -> Any:
    """Import a sub-command and give it its name; None if the module does not define it."""
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
    pretty_exceptions_enable=False,  # they would show local variables, which may hold patient data
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if not requested:
        return
    try:
        typer.echo(f"g2d {metadata.version(DISTRIBUTION)}")
    except metadata.PackageNotFoundError:
        typer.echo("g2d (not installed; running from source)")
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
    """Analyse chest radiographs: findings, masks, boxes and grounded phrases.

    \b
    Analyse one radiograph, or start the service with the shipped model:
      g2d predict chest.dcm --task segment --out overlay.png
      g2d serve
      curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/segment

    \b
    List the model versions, point an alias to another version, and undo it:
      g2d models list
      g2d models alias g2d-cxr stable 2
      g2d models rollback g2d-cxr

    \b
    Train and publish a version:
      g2d prepare small_pretrain
      g2d pretrain small_pretrain
      g2d finetune small_finetune
      g2d evaluate runs/small_finetune
      g2d export runs/small_finetune
      g2d publish runs/small_finetune

    Run `g2d COMMAND --help` for the options and examples of a command.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
