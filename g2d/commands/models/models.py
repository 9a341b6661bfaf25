"""`g2d models`: inspect the model repository, change its aliases, render it for Triton.

list | show | verify | pin | alias | rollback -> radiograph.repository.repository
         keygen | sign -> g2d.commands.models.model_signing
                upload -> g2d.commands.models.model_store
                verify -> service.backends.golden with ONNX Runtime, where it is installed
                triton -> g2d.commands.models.model_triton
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from g2d.commands import names
from g2d.commands.models.model_signing import keygen, sign
from g2d.commands.models.model_store import upload
from g2d.commands.models.model_triton import triton
from radiograph.errors import InvalidVersion, ModelNotFound, RadiographError
from radiograph.manifest import ModelManifest
from radiograph.repository.integrity.signatures import SignaturePolicy, TrustedKeys
from radiograph.repository.opening import open_current
from radiograph.repository.repository import DEFAULT_ALIAS, Repository
from radiograph.repository.shipped import default_models_dir

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Manage the versions in the model repository.

    \b
    g2d models list                      list all versions and the aliases that point to them
    g2d models show g2d-cxr              show tasks, labels, data and metrics of `stable`
    g2d models verify                    verify all files and replay the golden outputs
    g2d models pin                       record the digests of versions that have no pin yet
    g2d models keygen publisher.key      make a key pair that signs versions
    g2d models sign g2d-cxr 3 --key publisher.key
    g2d models alias g2d-cxr stable 3    serve version 3; a running service picks it up
    g2d models rollback g2d-cxr          point `stable` back to its previous version
    g2d models upload models --models-dir s3://bucket/models
    g2d models triton --out triton       render the models for a Triton server
    """,
)

app.command()(keygen)
app.command()(sign)
app.command()(upload)
app.command()(triton)

ModelsDir = Annotated[
    Path,
    typer.Option(
        "--models-dir",
        envvar="G2D_MODELS_DIR",
        help="Folder of the model repository, or s3://BUCKET/PREFIX.",
    ),
]
Name = Annotated[
    str, typer.Argument(help="Name of the model, such as g2d-cxr.", callback=names.model)
]
Reference = Annotated[
    str, typer.Argument(help="Version number or alias.", callback=names.reference)
]
ChosenName = Annotated[
    str | None,
    typer.Argument(help="Name of the model. Default: all models.", callback=names.model),
]
ChosenReference = Annotated[
    str | None,
    typer.Argument(
        help="Version number or alias. Default: all versions.", callback=names.reference
    ),
]
Expected = Annotated[
    int | None,
    typer.Option(
        min=0, help="Version that the alias must point to now; 0 means none. Otherwise refuse."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

DEFAULT_DIR = Path("models")
"""Folder whose aliases are changed, where none is named: never that of an installed package."""
READ_DIR = default_models_dir()
"""Folder that is read, where none is named."""


@app.command("list")
def list_versions(models_dir: ModelsDir = READ_DIR, as_json: AsJson = False) -> None:
    """List all versions with their aliases and tasks.

    A version whose manifest is invalid is listed with the reason.

    \b
    g2d models list
    g2d models list --json | jq '.[] | select(.aliases | index("stable"))'
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    repository = open_current(models_dir)
    rows = [
        row
        for name in repository.names()
        for aliases in [_aliases(repository, name)]
        for version in repository.versions(name)
        for row in [_row(repository, name, version, aliases)]
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        _print_table(rows)
    else:
        typer.echo(f"no model in {models_dir.resolve()}", err=True)


@app.command()
def show(
    name: Name,
    reference: Reference = DEFAULT_ALIAS,
    models_dir: ModelsDir = READ_DIR,
    as_json: AsJson = False,
) -> None:
    """Show tasks, labels, data and metrics of a version.

    \b
    g2d models show g2d-cxr
    g2d models show g2d-cxr 3 --json
    """  # noqa: D301 - as above
    repository = open_current(models_dir)
    version = repository.resolve(name, reference)
    manifest = repository.load_manifest(name, version)
    if as_json:
        typer.echo(manifest.to_json(), nl=False)
        return
    typer.echo(f"{name}/{version}  {manifest.created}  {manifest.licence}")
    typer.echo(f"digest    sha256:{repository.digest(name, version)}")
    for line in _description(manifest):
        typer.echo(line)


@app.command()
def verify(
    name: ChosenName = None,
    reference: ChosenReference = None,
    models_dir: ModelsDir = READ_DIR,
    golden: Annotated[
        bool, typer.Option(help="Replay the golden outputs as well as checking the digests.")
    ] = True,
    trusted_keys: Annotated[
        Path | None,
        typer.Option(help="File of public keys; a version must be signed by one of them."),
    ] = None,
) -> None:
    """Verify the files and outputs of versions.

    The manifest is compared with the digest that was pinned when the version was published, every
    file with its digest in the manifest, then the golden outputs are replayed.
    The replay needs ONNX Runtime (extra `serve` or `gpu`). Without it, only the digests are
    checked and the output says so. The exit code is 4 if a version fails verification.

    \b
    g2d models verify
    g2d models verify g2d-cxr canary
    g2d models verify g2d-cxr 3 --no-golden
    g2d models verify g2d-cxr 3 --trusted-keys publisher.key.pub
    """  # noqa: D301 - as above
    policy = None if trusted_keys is None else SignaturePolicy(TrustedKeys.read(trusted_keys))
    repository = open_current(models_dir, policy)
    failed = 0
    chosen = _chosen(repository, name, reference)
    for model, version in chosen:
        try:
            typer.echo(f"{model}/{version}: {_verify(repository, model, version, golden)}")
        except InvalidVersion as error:
            failed += 1
            typer.echo(f"{error}", err=True)
    if failed:
        raise InvalidVersion(f"{failed} of {len(chosen)} versions failed verification")


@app.command()
def pin(
    name: ChosenName = None,
    reference: ChosenReference = None,
    models_dir: ModelsDir = DEFAULT_DIR,
) -> None:
    """Pin the digests of versions that were published without one.

    Publishing pins the digest of a version in the file index.json of the model, and a version with
    another digest is refused from then on. This command does the same for older versions, after
    their files are verified. A pin that exists is never changed.

    \b
    g2d models pin
    g2d models pin g2d-cxr 3
    """  # noqa: D301 - as above
    repository = open_current(models_dir)
    for model, version in _chosen(repository, name, reference):
        new = repository.pin(model, version)
        typer.echo(f"{model}/{version}: {'pinned' if new else 'was pinned already'}")


@app.command()
def alias(
    name: Name,
    alias: Annotated[
        str,
        typer.Argument(help="Name of the alias, such as stable or canary.", callback=names.alias),
    ],
    version: Annotated[
        int,
        typer.Argument(min=1, max=999_999_999, help="Version that the alias will point to."),
    ],
    models_dir: ModelsDir = DEFAULT_DIR,
    expected: Expected = None,
) -> None:
    """Point an alias to a version.

    The digests of the version are verified first. A running service picks the change up.

    \b
    g2d models alias g2d-cxr canary 4
    g2d models alias g2d-cxr stable 4 --expected 3
    """  # noqa: D301 - as above
    repository = open_current(models_dir)
    repository.verify(name, version)
    repository.set_alias(name, alias, version, expected)
    typer.echo(f"{name}: {alias} -> {version}")


@app.command()
def rollback(
    name: Name,
    alias: Annotated[
        str, typer.Argument(help="Name of the alias.", callback=names.alias)
    ] = DEFAULT_ALIAS,
    models_dir: ModelsDir = DEFAULT_DIR,
    expected: Expected = None,
) -> None:
    """Point an alias back to its previous version.

    Each further call goes back by one more version.

    \b
    g2d models rollback g2d-cxr
    g2d models rollback g2d-cxr canary --expected 4
    """  # noqa: D301 - as above
    version = open_current(models_dir).rollback(name, alias, expected)
    typer.echo(f"{name}: {alias} -> {version}")


def _aliases(repository: Repository, name: str) -> dict[str, int]:
    """Return the aliases for a listing; report corrupt aliases and go on without them."""
    try:
        return repository.aliases(name)
    except RadiographError as error:
        typer.echo(f"{error}", err=True)
        return {}


def _row(
    repository: Repository, name: str, version: int, aliases: dict[str, int]
) -> dict[str, Any]:
    """Return the entry of one version in a listing."""
    row: dict[str, Any] = {
        "name": name,
        "version": version,
        "aliases": [alias for alias, target in aliases.items() if target == version],
        "tasks": [],
        "created": None,
        "digest": None,
        "error": None,
    }
    try:
        manifest = repository.load_manifest(name, version)
        digest = repository.digest(name, version)
    except RadiographError as error:
        return {**row, "error": str(error)}
    tasks = [task.value for task in manifest.tasks]
    return {**row, "tasks": tasks, "created": manifest.created, "digest": digest}


def _print_table(rows: list[dict[str, Any]]) -> None:
    cells = [("NAME", "VERSION", "ALIASES", "CREATED", "TASKS")]
    for row in rows:
        aliases = ", ".join(row["aliases"]) or "-"
        tasks = ", ".join(row["tasks"]) if row["error"] is None else f"invalid: {row['error']}"
        cells.append((row["name"], str(row["version"]), aliases, row["created"] or "-", tasks))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _description(manifest: ModelManifest) -> list[str]:
    """Return the description of a version, line by line."""
    lines = [f"use       {manifest.intended_use}"]
    lines += [f"trained   commit {manifest.provenance.commit[:12]}"]
    for name, head in manifest.heads.items():
        labels = ", ".join(label.name for label in head.labels) or f"any phrase ({head.method})"
        lines.append(f"head      {name} ({head.kind}): {labels}")
    for use in manifest.provenance.data:
        rows = ", ".join(f"{count} {split}" for split, count in use.rows.items())
        lines.append(f"data      {use.name} ({use.licence}): {rows}")
    for m in manifest.provenance.metrics:
        value = f"{m.value:.3f} [{m.low:.3f}, {m.high:.3f}], n = {m.n}"
        lines.append(f"measured  {m.data} {m.split}: {m.metric} of {m.label} {value}")
    return lines


def _chosen(
    repository: Repository, name: str | None, reference: str | None
) -> list[tuple[str, int]]:
    """Return the model and version pairs that `verify` checks."""
    if name is not None and reference is not None:
        return [(name, repository.resolve(name, reference))]
    models = repository.names() if name is None else [name]
    chosen = [(model, version) for model in models for version in repository.versions(model)]
    if not chosen:
        raise ModelNotFound("nothing to verify", repository.root.absolute())
    return chosen


def _verify(repository: Repository, name: str, version: int, golden: bool) -> str:
    """Verify one version and return a description of what was checked."""
    verified = repository.verify(name, version)
    manifest, digests = verified.manifest, "digests match"
    if not verified.pinned:
        digests = "digests match, but that of the manifest is not pinned"
    if repository.policy is not None:
        digests = f"signature valid; {digests}"
    if not golden:
        return digests
    try:
        difference, answers = _replay(verified.folder, manifest)
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        return f"{digests}; golden outputs not replayed, because ONNX Runtime is not installed"
    except InvalidVersion as error:
        raise InvalidVersion(f"{name}/{version}: {error}") from error
    tolerance = manifest.golden.tolerance
    outputs = f"golden outputs within {difference:.1e} (allowed {tolerance:.1e})"
    replayed = "golden answers equal" if answers else "no golden answers"
    return f"{digests}; {outputs}; {replayed}"


def _replay(folder: Path, manifest: ModelManifest) -> tuple[float, bool]:
    """Replay golden outputs and answers on the CPU of this machine.

    Returns:
        difference: largest difference of an output.
        answers: whether the version has golden answers.
    """
    from service.backends import golden  # imports the service, for this sub-command only
    from service.backends.ort.backend import OrtBackend
    from service.backends.ort.graph import GraphCache
    from service.backends.ort.session import OrtOptions
    from service.settings import RuntimeSettings

    graphs = GraphCache(OrtOptions(RuntimeSettings()))
    backend = OrtBackend(folder, manifest, graphs)
    try:
        difference = golden.replay(backend, manifest, folder)
        return difference, golden.replay_answers(backend, manifest, folder)
    finally:
        backend.close()
