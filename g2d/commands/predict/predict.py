"""`g2d predict`: analyse radiographs in this process, as the service would.

FILE, FOLDER, 'PATTERN', - --inputs.find--> Input --one model, one after the other--> Answer
                                   --outputs.plan, write--> standard output, files, folders
"""

import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from g2d.commands import names
from g2d.commands.predict import dicom_objects, inputs, outputs
from g2d.commands.predict.dicom_objects import ObjectFolder
from g2d.commands.predict.inputs import Input
from g2d.commands.predict.outputs import Answer, Form, Output
from g2d.failures import exit_code, reason, report
from g2d.loading import open_version
from radiograph.errors import RadiographError
from radiograph.manifest import Task

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from service.inference.analysis import Analysis
    from service.inference.types import AnalysisRequest


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Radiographs to analyse: DICOM, PNG or JPEG files, folders, patterns such as "
        "'scans/**/*.dcm', or - for standard input.",
    ),
]
Tasks = Annotated[
    list[Task] | None,
    typer.Option(help="Task to perform; repeat for more. Default: all tasks of the model."),
]
Phrases = Annotated[
    list[str] | None, typer.Option(help="Phrase to locate in the image; repeat for more.")
]
Out = Annotated[
    str | None,
    typer.Option(
        help="File to write, by its suffix: an overlay (.png, .jpg, .webp), .json, .jsonl or "
        ".csv; or a folder, which gets JSON and an overlay of each radiograph."
    ),
]
FormOption = Annotated[
    Form | None,
    typer.Option(
        "--format",
        help="Form of what is printed: one JSON object a line, or a table. Default: json.",
    ),
]
DicomOut = Annotated[
    Path | None,
    typer.Option(
        help="Folder that gets the DICOM objects of each radiograph: segmentation, reports, "
        "presentation state and others."
    ),
]
ModelName = Annotated[str | None, typer.Option(help="Name of the model.", callback=names.model)]
Version = Annotated[
    str | None,
    typer.Option(help="Version number or alias. Default: stable.", callback=names.reference),
]
Method = Annotated[
    Literal["aligned", "zero_shot"] | None,
    typer.Option(help="Grounding method. Default: the first one that the model offers."),
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Also say how far each result holds under harmless changes; eight times the work.",
    ),
]
HeatmapEncoding = Annotated[
    Literal["png", "float", "none"], typer.Option(help="Encoding of heat maps in the JSON.")
]
OverlaySide = Annotated[
    int | None,
    typer.Option(min=64, help="Longest side of the overlay. Default: G2D_OVERLAY_SIDE_PX."),
]
ModelsDir = Annotated[Path | None, typer.Option(help="Folder of the model repository.")]


def predict(
    files: Files,
    task: Tasks = None,
    phrase: Phrases = None,
    out: Out = None,
    form: FormOption = None,
    dicom_out: DicomOut = None,
    model: ModelName = None,
    version: Version = None,
    method: Method = None,
    uncertainty: Uncertainty = False,
    heatmap: HeatmapEncoding = "none",
    overlay_side_px: OverlaySide = None,
    models_dir: ModelsDir = None,
) -> None:
    """Analyse radiographs and print the results as JSON lines or as a table.

    \b
    g2d predict chest.dcm
    g2d predict chest.dcm --task segment --out overlay.png
    g2d predict chest.png --phrase 'left lung' --phrase 'right lower lobe opacity'
    g2d predict scans/ --out results/
    g2d predict 'scans/**/*.dcm' --task classify --out findings.csv
    g2d predict chest.dcm --dicom-out objects/
    cat chest.dcm | g2d predict -

    The model is loaded once. The JSON has the format of the service, and the name of the file. A
    radiograph that cannot be read is named on standard error; the others are answered.

    \b
    Exit code: 0 every radiograph was answered
               2 the command was refused before any work
               3 a radiograph could not be read, or a result not be written
               4 the model is missing or at fault
               5 the hardware that the settings ask for does not compute
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.inference.types import AnalysisRequest
    from service.settings import Settings

    settings = Settings.from_environment().changed(models_dir=models_dir, default_model=model)
    items = inputs.find(files)
    output = outputs.plan(out, form, items)
    objects = dicom_objects.plan(dicom_out, items, settings)
    code = max(_report(item, item.fault) for item in items)
    readable = [item for item in items if item.fault is None]
    if readable:
        tasks = tuple(task or ()) or ((Task.GROUND,) if method else ())
        request = AnalysisRequest(tasks, tuple(phrase or ()), method, uncertainty)
        side_px = _side_px(output, objects, overlay_side_px or settings.limits.overlay_side_px)
        question = _Question(request, side_px, heatmap, settings.limits.max_body_bytes, objects)
        opened = open_version(settings, version)
        try:
            code = max(code, _answer_all(opened.analysis, question, readable, output))
        finally:
            opened.close()
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Question:
    """Question about each radiograph, and how its answer is drawn and encoded."""

    request: "AnalysisRequest"
    preview_px: int | None
    heatmap: Literal["png", "float", "none"]
    max_bytes: int
    objects: ObjectFolder | None


def _side_px(output: Output, objects: ObjectFolder | None, asked_px: int) -> int | None:
    """Return the longest side of overlays; None if none are drawn."""
    if output.overlay is not None:
        return min(asked_px, output.overlay.max_side_px)
    return None if objects is None else asked_px


def _answer_all(
    analysis: "Analysis", question: _Question, items: Sequence[Input], output: Output
) -> int:
    """Answer about each radiograph, and return the worst exit code."""
    analysis.plan(question.request)  # refuses a task or a phrase before any file is read
    with _progress(items, output) as shown:
        return max(_answer(analysis, question, item, output) for item in shown)


def _answer(analysis: "Analysis", question: _Question, item: Input, output: Output) -> int:
    """Answer about one radiograph; a failure is reported, and its exit code returned."""
    from service.encoders import json_encoder

    try:
        data = item.read(question.max_bytes)
        result = analysis.run_here(question.request, data, preview_px=question.preview_px)
    except (RadiographError, OSError) as error:
        return _report(item, error)
    text = json_encoder.encode(result, uuid.uuid4().hex, question.heatmap).decode()
    code = output.write(Answer(item, result, text))
    if question.objects is not None:
        try:
            question.objects.write(item, result, data)
        except (RadiographError, OSError) as error:
            return max(code, _report(item, error))
    return code


def _report(item: Input, error: RadiographError | OSError | None) -> int:
    """Name a radiograph and what is wrong with it, and return the exit code; 0 without an error."""
    if error is None:
        return 0
    why = error.strerror if isinstance(error, OSError) else None
    report(f"{item.label}: {why or reason(error)}")
    return exit_code(error)


@contextmanager
def _progress(items: Sequence[Input], output: Output) -> Iterator[Iterable[Input]]:
    """Yield the radiographs, with a progress bar on a terminal that shows no results."""
    hidden = len(items) < 2 or not sys.stderr.isatty()
    hidden = hidden or (output.printed is not None and sys.stdout.isatty())
    with typer.progressbar(items, file=sys.stderr, hidden=hidden, show_pos=True) as bar:
        yield bar
