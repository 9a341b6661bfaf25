"""`g2d deidentify`: remove from DICOM files what tells whose they are, before training on them."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from g2d.failures import INPUT, RefusedCommand
from radiograph.errors import RadiographError

_MIN_KEY_BYTES = 16


def deidentify(
    source: Annotated[
        Path, typer.Argument(exists=True, help="DICOM file, or folder that is searched for files.")
    ],
    out: Annotated[Path, typer.Argument(file_okay=False, help="Folder to write to.")],
    key: Annotated[
        Path | None,
        typer.Option(
            help="File of a secret of 16 bytes or more. The same secret gives the same patients, "
            "UIDs and dates in every run. Default: a new one for each run."
        ),
    ] = None,
    dates: Annotated[
        str, typer.Option(help="remove, or shift: by a number of days for each patient.")
    ] = "remove",
    allow_burned_in: Annotated[
        bool, typer.Option(help="Accept images whose pixels may show text about the patient.")
    ] = False,
) -> None:
    """De-identify radiographs for training.

    Attributes that reading and training do not need are removed, UIDs and the patient's number are
    replaced consistently, and files are named by them. An image with burned-in text, a secondary
    capture or a scan is refused, unless its header says that nothing is burned in. The pixels are
    not searched for text. The exit code is 3 if a file was refused.

    \b
    g2d deidentify hospital/ data/deidentified
    g2d deidentify hospital/ data/deidentified --key secret.bin --dates shift
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training import deidentification
    from training.deidentification import Options

    if dates not in ("remove", "shift"):
        raise typer.BadParameter("remove or shift", param_hint="--dates")
    if out.exists() and any(out.iterdir()):
        raise RefusedCommand(f"{out} is not empty")
    options = Options(_secret(key), dates == "shift", allow_burned_in)
    written = refused = 0
    for path in _files(source):
        try:
            deidentification.write(deidentification.deidentify(path.read_bytes(), options), out)
            written += 1
        except (RadiographError, FileExistsError) as error:
            refused += 1
            reason = "its UID occurs twice" if isinstance(error, FileExistsError) else error
            typer.echo(f"{path}: {reason}", err=True)
    typer.echo(f"{written} written to {out}, {refused} refused")
    if refused:
        raise typer.Exit(INPUT)


def _secret(path: Path | None) -> bytes:
    """Return the secret of a file, or a new one."""
    if path is None:
        return secrets.token_bytes(32)
    key = path.read_bytes()
    if len(key) < _MIN_KEY_BYTES:
        raise RefusedCommand(f"{path}: a secret has {_MIN_KEY_BYTES} bytes or more")
    return key


def _files(source: Path) -> Iterator[Path]:
    """Yield a file, or every file below a folder; links are not followed."""
    if source.is_file():
        yield source
        return
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path
