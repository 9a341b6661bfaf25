"""The command line: its sub-commands, and how failures are reported.

    g2d NAME ... -> Commands.get_command -> import g2d.commands.<module> -> its function

The module of a sub-command is imported when the command is called or its help is shown. An error
that the project raises on purpose is reported in one line on standard error with an exit code of
its kind (`g2d.failures`); any other exception is a defect and keeps its traceback.
"""

import importlib
import importlib.util
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from g2d.failures import USAGE, exit_code, reason, report
from radiograph.errors import RadiographError

DISTRIBUTION = "g2d-radiograph"

COMMANDS = {
    "serve": "g2d.commands.service.serve:serve",
    "predict": "g2d.commands.predict.predict:predict",
    "models": "g2d.commands.models.models:app",
    "keys": "g2d.commands.service.keys:app",
    "audit": "g2d.commands.service.audit:app",
    "gateway": "g2d.commands.service.gateway:app",
    "deidentify": "g2d.commands.deidentify:deidentify",
    "prepare": "g2d.commands.training.training:prepare",
    "pretrain": "g2d.commands.training.training:pretrain",
    "finetune": "g2d.commands.training.training:finetune",
    "ablation": "g2d.commands.training.experiments:ablation",
    "table": "g2d.commands.training.experiments:table",
    "evaluate": "g2d.commands.training.training:evaluate",
    "zero-shot": "g2d.commands.training.zero_shot:zero_shot",
    "export": "g2d.commands.training.training:export",
    "publish": "g2d.commands.training.publishing:publish",
    "import-version": "g2d.commands.training.checkpoints:import_version",
    "import-checkpoint": "g2d.commands.training.checkpoints:import_checkpoint",
    "export-checkpoint": "g2d.commands.training.checkpoints:export_checkpoint",
}
"""Module and attribute (a function or a `typer.Typer`) of each sub-command, in help order."""

OF_TABLES = ("table", "ablation")
"""Commands that refuse with one exit code, because the others tell what became of the cells."""

EXTRAS = {
    "onnxruntime": "serve",
    "fastapi": "serve",
    "httpx": "client",
    "jwt": "serve",
    "prometheus_client": "serve",
    "pynetdicom": "gateway",
    "sqlalchemy": "serve",
    "uvicorn": "serve",
    "tokenizers": "serve",
    "tritonclient": "triton",
    "onnx": "serve",
    "huggingface_hub": "train",
    "lightning": "train",
    "boto3": "shards",
    "botocore": "shards",
    "litdata": "shards",
    "mlflow": "mlflow",
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


EARLIER_OPTIONS = {
    "keys": {"--file": "--keys-file"},
    "models triton": {"--name": "--model"},
    "models verify": {"--key": "--trusted-keys"},
    "publish": {"--models": "--models-dir", "--name": "--model", "--sign": "--key"},
}
"""Options that had another name, which is accepted still, by sub-command."""


class Commands(TyperGroup):
    """Group of sub-commands that are imported on demand; errors are reported in one line."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Return the names of the sub-commands whose module is installed."""
        return [name for name, place in COMMANDS.items() if _installed(place)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the same
        """Return a sub-command, or None if there is none of that name."""
        place = COMMANDS.get(cmd_name)
        return None if place is None or not _installed(place) else _load(cmd_name, place)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the sub-command and its arguments, with the present names of its options."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, _with_present_names(name or "", rest)

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
            report(reason(error))
            of_tables = ctx.invoked_subcommand in OF_TABLES
            raise typer.Exit(USAGE if of_tables else exit_code(error)) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            extra = f"pip install '{DISTRIBUTION}[{EXTRAS[package]}]'"
            report(f"this command needs {package}: {extra}")
            raise typer.Exit(USAGE) from error


def _with_present_names(command: str, arguments: list[str]) -> list[str]:
    """Replace earlier names of options, up to `--`, after which there are no options."""
    inner = " ".join([command, *arguments[:1]])
    names = EARLIER_OPTIONS.get(command, {}) | EARLIER_OPTIONS.get(inner, {})
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument.partition("=") for argument in arguments[:end]]
    present = [f"{names.get(name, name)}{equals}{value}" for name, equals, value in options]
    return [*present, *arguments[end:]]


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
      g2d prepare shipped_pretrain
      g2d pretrain shipped_pretrain
      g2d finetune shipped_finetune
      g2d evaluate runs/shipped_finetune
      g2d export runs/shipped_finetune
      g2d publish runs/shipped_finetune

    Run `g2d COMMAND --help` for the options and examples of a command.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
