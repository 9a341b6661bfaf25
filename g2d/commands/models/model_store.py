"""Upload of a model repository to a store: `g2d models upload`."""

from pathlib import Path
from typing import Annotated

import typer

from g2d.commands import names
from radiograph.errors import StoreUnavailable
from radiograph.repository.opening import open_current
from radiograph.repository.repository import Repository
from radiograph.repository.store.stored_repository import StoredRepository


def upload(
    source: Annotated[
        Path, typer.Argument(file_okay=False, exists=True, help="Folder of the model repository.")
    ],
    models_dir: Annotated[
        Path,
        typer.Option(
            "--models-dir", envvar="G2D_MODELS_DIR", help="Store to copy to, s3://BUCKET/PREFIX."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--model", help="Name of the model. Default: all models.", callback=names.model
        ),
    ] = None,
) -> None:
    """Copy versions from a folder to a store, under their numbers.

    Every version is verified first. Versions that the store has are left as they are, and so are
    the aliases of a model that has some there.

    \b
    g2d models upload models --models-dir s3://hospital-models/g2d
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    folder, store = Repository(source), open_current(models_dir)
    if not isinstance(store, StoredRepository):
        raise StoreUnavailable(f"{models_dir} is not s3://BUCKET/PREFIX")
    for model in folder.names() if name is None else [name]:
        new = store.upload(folder, model)
        numbers = ", ".join(map(str, new)) or "nothing new"
        typer.echo(f"{model}: {numbers}")
