"""Failures of a command: one line on standard error, and an exit code.

    0 done   1 defect, with a traceback   2 usage   3 input   4 model   5 service, or a training

docs/command.md describes the codes.
"""

from pathlib import Path

import typer

from radiograph.errors import (
    InputError,
    ModelError,
    ModelNotFound,
    RadiographError,
    UnusableKey,
    UnusablePhrase,
)
from radiograph.repository.shipped import DISTRIBUTION, HERE, packaged

USAGE, INPUT, MODEL, SERVICE = 2, 3, 4, 5


class RefusedCommand(RadiographError):
    """The options of a command contradict each other or this machine, before any work is done."""


def exit_code(error: RadiographError | OSError) -> int:
    """Return the exit code of a command that ends with an error.

    Settings, configurations, files of keys and phrases are given with the command, and are usage.
    """
    from service.errors import InvalidKeyFile, InvalidSettings, NoDicomObject, ServiceError

    match error:
        case InvalidSettings() | InvalidKeyFile() | UnusableKey() | UnusablePhrase():
            return USAGE
        case ConnectionError():  # a registry that did not take a version
            return SERVICE
        case InputError() | NoDicomObject() | OSError():
            return INPUT
        case ModelError():
            return MODEL
        case ServiceError() | FloatingPointError():  # a loss that is not finite
            return SERVICE
    return USAGE


def reason(error: RadiographError | OSError) -> str:
    """Return the message of an error, with the folder that was searched in vain."""
    message = str(error) or type(error).__name__
    if isinstance(error, ModelNotFound) and isinstance(error.searched, Path):
        return f"{message} in {_searched(error.searched)}"
    return message


def _searched(folder: Path) -> str:
    """Return where models were looked for, and what else could hold them."""
    if folder.is_dir():
        return str(folder.absolute())
    place = f"{folder.absolute()}, which does not exist"
    lacking = folder == HERE and packaged() is None
    return f"{place}; the package {DISTRIBUTION} is not installed" if lacking else place


def report(message: str) -> None:
    """Print a message as one line on standard error."""
    line = " ".join(message.split())
    typer.echo(f"g2d: error: {line}", err=True)
