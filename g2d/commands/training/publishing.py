"""Publication of a run: `g2d publish`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from g2d.commands import names
from radiograph.repository.opening import open_current

Run = Annotated[Path, typer.Argument(help="Folder of the run, such as runs/NAME.")]
ModelName = Annotated[str, typer.Option("--model", help="Name of the model.", callback=names.model)]
ModelsDir = Annotated[
    Path,
    typer.Option("--models-dir", envvar="G2D_MODELS_DIR", help="Folder of the model repository."),
]
Alias = Annotated[
    str,
    typer.Option(
        help="Alias to point to the new version; '' for none.", callback=names.alias_or_none
    ),
]
Accepted = Annotated[
    list[str] | None,
    typer.Option(help="Metric that may be worse than in stable; it is named in the model card."),
]
Head = Annotated[
    str | None,
    typer.Option(help="Publish this head only, added to the version given by --base."),
]
HeadName = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Name of the head in the new version. Default: the value of --head.",
        callback=names.head,
    ),
]
Base = Annotated[
    str,
    typer.Option(
        help="Version to which --head is added, by number or alias.", callback=names.reference
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="Secret key that signs the version, see g2d models keygen."),
]
Mlflow = Annotated[
    bool, typer.Option("--mlflow", help="Register the version and its metrics in MLflow.")
]


def publish(
    run: Run,
    name: ModelName = "g2d-cxr",
    models: ModelsDir = Path("models"),
    alias: Alias = "stable",
    accept: Accepted = None,
    head: Head = None,
    head_as: HeadName = None,
    base: Base = "stable",
    sign: Key = None,
    mlflow: Mlflow = False,
) -> None:
    """Publish a run as the next version of a model.

    The run must have been evaluated and exported. It is refused if a check fails, such as a
    metric that is worse than that of the stable version.

    \b
    g2d evaluate runs/shipped_words && g2d export runs/shipped_words
    g2d publish runs/shipped_words --alias canary
    g2d publish runs/new_finding --head findings --as new_finding
    g2d publish runs/shipped_words --key publisher.key
    g2d publish runs/shipped_words --mlflow

    The version appears completely or not at all. `g2d models rollback` undoes the change of the
    alias.
    """  # noqa: D301 - as above
    from training.publish import mlflow_registration

    if mlflow:
        mlflow_registration.check_installed()
    from training.evaluation.assessment import RunFolder
    from training.evaluation.trained_model import load_run
    from training.export.onnx_export import read_export
    from training.publish.publish_head import Target, publish_one_head
    from training.publish.publish_version import publish as run_publish

    release = _release(models, name, alias, sign)
    folder, model = RunFolder(run), load_run(run)
    exported = read_export(folder)
    if head is None:
        number = run_publish(model, folder, exported, models, name, "", accept or ())
    else:
        target = Target(models, name, base, head_as or head, "", tuple(accept or ()))
        number = publish_one_head(model, folder, exported, head, target)
    release(number)
    typer.echo(f"{name} version {number}" + (f", alias {alias}" if alias else ""))
    if mlflow:
        registered = mlflow_registration.register(open_current(models), name, number, alias)
        typer.echo(f"{name} version {registered} in MLflow")


def _release(models: Path, name: str, alias: str, sign: Path | None) -> Callable[[int], None]:
    """Check alias and key, and return the call that signs a version and points the alias to it."""
    from radiograph.repository.integrity.signatures import SecretKey
    from radiograph.repository.names import require_alias_name

    if alias:
        require_alias_name(alias)
    key = None if sign is None else SecretKey.read(sign)

    def release(number: int) -> None:
        if key is not None:  # before the alias moves: a service may serve signed versions only
            open_current(models).sign(name, number, key)
        if alias:
            open_current(models).set_alias(name, alias, number)

    return release
