"""`g2d models keygen` and `g2d models sign`: keys that sign versions, and their signatures.

keygen | sign -> radiograph.repository.integrity.signatures
"""

from pathlib import Path
from typing import Annotated

import typer

from g2d.commands import names
from radiograph.repository.integrity.signatures import SecretKey
from radiograph.repository.opening import open_current


def keygen(
    key: Annotated[
        Path, typer.Argument(help="File of the secret key to write; KEY.pub is the public key.")
    ],
) -> None:
    """Make a key pair that signs versions.

    The files are in the format of minisign, the secret key without a password: keep it where the
    publishing job alone can read it. Services need the public key only.

    \b
    g2d models keygen publisher.key
    G2D_TRUSTED_KEYS=publisher.key.pub G2D_REQUIRE_SIGNATURE=true g2d serve
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    secret = SecretKey.new()
    secret.write(key)
    typer.echo(f"key {secret.public.name}: {key} is secret, {key.name}.pub is public")


def sign(
    name: Annotated[
        str, typer.Argument(help="Name of the model, such as g2d-cxr.", callback=names.model)
    ],
    reference: Annotated[
        str, typer.Argument(help="Version number or alias.", callback=names.reference)
    ],
    key: Annotated[Path, typer.Option(help="File of the secret key.")],
    models_dir: Annotated[
        Path,
        typer.Option(
            "--models-dir", envvar="G2D_MODELS_DIR", help="Folder of the model repository."
        ),
    ] = Path("models"),
) -> None:
    """Sign a version, after its files are verified.

    The signature is written beside the folder of the version, as NUMBER.minisig, and replaces one
    that is there. `minisign -Vm 3/manifest.json -x 3.minisig -p publisher.key.pub` verifies it too.

    \b
    g2d models sign g2d-cxr 3 --key publisher.key
    """  # noqa: D301 - as above
    secret = SecretKey.read(key)
    repository = open_current(models_dir)
    version = repository.resolve(name, reference)
    repository.sign(name, version, secret)
    typer.echo(f"{name}/{version}: signed by the key {secret.public.name}")
