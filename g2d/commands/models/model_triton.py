"""Rendering of the model repository for Triton: `g2d models triton`.

No runtime and no client of Triton is needed.
"""

import contextlib
import functools
import time
from pathlib import Path
from typing import Annotated

import typer

from g2d.commands import names
from radiograph.errors import StoreUnavailable
from radiograph.repository.opening import open_current
from radiograph.repository.repository import Repository
from radiograph.repository.shipped import default_models_dir

_READ_DIR = default_models_dir()


def triton(
    out: Annotated[
        Path,
        typer.Option(
            "--out", file_okay=False, help="Folder of the Triton model repository to write."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--model", help="Name of the model. Default: all models.", callback=names.model
        ),
    ] = None,
    models_dir: Annotated[
        Path,
        typer.Option(
            "--models-dir",
            envvar="G2D_MODELS_DIR",
            help="Folder of the model repository, or s3://BUCKET/PREFIX.",
        ),
    ] = _READ_DIR,
    previous: Annotated[
        bool,
        typer.Option("--previous", help="Render the versions that a roll-back would restore too."),
    ] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Keep running and check for changes at this interval in seconds."
        ),
    ] = None,
) -> None:
    """Render the aliased versions as a Triton model repository.

    Trunk, text encoder and heads become models for the ONNX Runtime backend of Triton, and each
    task becomes an ensemble: NAME-TASK for `stable`, NAME-ALIAS-TASK for any other alias, and
    NAME-analyze for all tasks at once. After a change of an alias, run the command again, or use
    --watch, and reload Triton; unchanged models are left as they are. A service with
    G2D_BACKEND=triton reloads Triton by itself.

    \b
    g2d models triton --out /srv/g2d/triton
    g2d models triton --out triton --model g2d-cxr
    g2d models triton --out triton --previous --watch 2
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.backends.triton import (
        repository_view,  # imports the service, for this sub-command only
    )

    repository = open_current(models_dir)
    if watch is None:
        for model in repository_view.render(repository, out, name, previous=previous):
            typer.echo(model)
        return
    pause = functools.partial(_pause, repository, watch)
    for models in repository_view.follow(repository, out, name, pause, previous=previous):
        typer.echo(f"rendered {' '.join(models)}")


def _pause(repository: Repository, seconds: float) -> bool:
    time.sleep(seconds)
    with contextlib.suppress(StoreUnavailable):  # what was rendered before stays
        repository.refresh()
    return True
