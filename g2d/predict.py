"""`g2d predict`: analyse one file in this process, as the service would."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from radiograph.manifest import Task

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from service.inference.results import AnalysisResult
    from service.settings import Settings


def predict(
    file: Annotated[Path, typer.Argument(help="Radiograph to analyse: DICOM, PNG or JPEG.")],
    task: Annotated[
        list[Task] | None,
        typer.Option(help="Task to perform; repeat for more. Default: all tasks of the model."),
    ] = None,
    phrase: Annotated[
        list[str] | None, typer.Option(help="Phrase to locate in the image; repeat for more.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File to which an overlay is written: .png, .jpg or .webp."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version number or alias. Default: stable.")
    ] = None,
    method: Annotated[
        Literal["aligned", "zero_shot"] | None,
        typer.Option(help="Grounding method. Default: the first one that the model offers."),
    ] = None,
    heatmap: Annotated[
        Literal["png", "float", "none"], typer.Option(help="Encoding of heat maps in the JSON.")
    ] = "none",
    overlay_side_px: Annotated[
        int | None,
        typer.Option(min=64, help="Longest side of the overlay. Default: G2D_OVERLAY_SIDE_PX."),
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the model repository.")] = None,
) -> None:
    """Analyse one radiograph and print the result as JSON.

    \b
    g2d predict chest.dcm
    g2d predict chest.dcm --task segment --out overlay.png
    g2d predict chest.png --phrase 'left lung' --phrase 'right lower lobe opacity'

    The JSON has the format of the service. --out also writes an overlay, as PNG unless the name
    of the file says otherwise. The exit status is 2 if the file cannot be analysed.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.encoders import json_encoder, overlay_encoder, picture_formats
    from service.settings import Settings

    settings = Settings.from_environment().changed(models_dir=models_dir, default_model=model)
    tasks = tuple(task or ()) or ((Task.GROUND,) if method else ())
    picture = None if out is None else picture_formats.of_suffix(out.suffix)
    side_px = None
    if picture is not None:
        side_px = min(overlay_side_px or settings.limits.overlay_side_px, picture.max_side_px)
    result = _answer(file, tasks, tuple(phrase or ()), method, version, settings, side_px)
    if out is not None and picture is not None:
        out.write_bytes(picture.write(overlay_encoder.draw(result)))
    typer.echo(json_encoder.encode(result, uuid.uuid4().hex, heatmap))


def _answer(
    file: Path,
    tasks: tuple[Task, ...],
    phrases: tuple[str, ...],
    method: str | None,
    version: str | None,
    settings: "Settings",
    preview_px: int | None,
) -> "AnalysisResult":
    """Load one version with all checks of the service and analyse the file with it."""
    from radiograph.repository.repository import Repository
    from service.backends.factory import backend_factory
    from service.inference.types import AnalysisRequest
    from service.registry.loader import VersionLoader

    repository, name = Repository(settings.models.models_dir), settings.models.default_model
    data = file.read_bytes()
    request = AnalysisRequest(tasks=tasks, phrases=phrases, method=method)
    number = repository.resolve(name, version or settings.models.default_alias)
    backends = backend_factory(settings)
    chosen = settings.runtime.variant
    variant = "float32" if chosen == "auto" else chosen  # measuring takes longer than one answer
    loader = VersionLoader(repository, backends, settings.limits, variant=variant)
    loaded = loader.load(name, number)
    try:
        return loaded.analysis.run_here(request, data, preview_px=preview_px)
    finally:
        loaded.close()
