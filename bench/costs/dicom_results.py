"""Cost of DICOM objects of one radiograph, beyond its answer as JSON.

    python -m bench.costs.dicom_results [FILE] --repetitions 9

    the model's answer --JSON--------------------------------> ms
    header, the same answer --each kind of object, and all---> ms, and relative to JSON

Everything is measured in turns in one process, after the encoders were warmed as the service does
at its start. `preview` is what the overlay adds to decoding. CPU time is given beside the time by
the clock, because other programs of the machine delay the latter.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom

from bench import inputs
from bench.reporting import checks
from bench.reporting.checks import Check
from radiograph.preprocess import to_input
from radiograph.readers.read import UNKNOWN, read
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.decoding.decode import gray_levels, preview
from service.dicom_results import kinds, writer
from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from service.encoders import json_encoder
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.registry.loading.loader import VersionLoader
from service.settings import Settings

SEG_MS, ALL_MS = 150.0, 400.0
"""Goals for a radiograph of 5 megapixels: the segmentation alone, and all objects."""
PHRASES = ("left lung", "enlarged heart")


@dataclass(frozen=True)
class Times:
    """Medians of one step.

    Attributes:
        clock_ms, cpu_ms: milliseconds by the clock, and of computing by all threads.
    """

    clock_ms: float
    cpu_ms: float


def main(arguments: list[str] | None = None) -> int:
    """Print the times; 1 if a goal is missed."""
    line = argparse.ArgumentParser(description="Measure the cost of DICOM objects.")
    line.add_argument("file", type=Path, nargs="?", help="radiograph; synthetic by default")
    line.add_argument("--models-dir", type=Path, default=Path("models"), help="model repository")
    line.add_argument("--model", default="g2d-cxr", help="name of the model")
    line.add_argument("--repetitions", type=int, default=9, help="measurements of each step")
    options = line.parse_args(arguments)
    data = synthetic() if options.file is None else options.file.read_bytes()
    result = answer(data, options.models_dir, options.model)
    found = measure(result, data, options.repetitions)
    print(table(found))
    goals = check(found)
    for goal in goals:
        print(f"{goal.name}: {goal.measured}, {goal.asked}: {'held' if goal.held else 'MISSED'}")
    return int(not all(goal.held for goal in goals))


def synthetic() -> bytes:
    """Return a synthetic radiograph of 2500 x 2048 pixels in a study."""
    dataset = pydicom.dcmread(BytesIO(inputs.synthetic_dicom()))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1", "1.2.826.0.2"
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def answer(data: bytes, models_dir: Path, model: str) -> AnalysisResult:
    """Return the answer of the stable version to all tasks, with a preview for the overlay."""
    settings = Settings.of(models_dir=models_dir, default_model=model, threads=1)
    repository = Repository(models_dir)
    loader = VersionLoader(
        repository, backend_factory(settings), settings.limits, variant="float32"
    )
    loaded = loader.load(model, repository.resolve(model, settings.models.default_alias))
    try:
        side_px = settings.limits.overlay_side_px
        return loaded.analysis.run_here(
            AnalysisRequest((), PHRASES, None), data, preview_px=side_px
        )
    finally:
        loaded.close()


def measure(result: AnalysisResult, data: bytes, repetitions: int) -> dict[str, Times]:
    """Return the times of every step, by its name; those of objects by their kinds."""
    options = DicomResultOptions()
    writer.warm_up()
    selected = kinds.selected((), writer.tasks_of(result))
    steps: dict[str, Callable[[], object]] = {
        "json": lambda: json_encoder.encode(result, "bench"),
        "preview": _preview(result, data),
        "all": lambda: writer.write_for(result, data, selected, options),
    }
    for kind in ObjectKind:
        if writer.first(result, (kind,)):
            steps[kind] = _written(result, data, kind, options)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(repetitions + 1):
        for name, step in steps.items():
            clock, cpu = time.perf_counter(), time.process_time()
            step()
            found[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return {name: _medians(times[1:]) for name, times in found.items()}  # the first one warms up


def _written(
    result: AnalysisResult, data: bytes, kind: ObjectKind, options: DicomResultOptions
) -> Callable[[], object]:
    return lambda: writer.write_for(result, data, (kind,), options)


def _preview(result: AnalysisResult, data: bytes) -> Callable[[], object]:
    """Return the step that makes the preview of a file that is decoded already."""
    radiograph = read(data, UNKNOWN)
    placed = to_input(radiograph, result.preprocess)
    side_px = Settings.of().limits.overlay_side_px
    return lambda: preview(gray_levels(radiograph, placed), side_px)


def _medians(times: Sequence[tuple[float, float]]) -> Times:
    clock, cpu = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    return Times(clock, cpu)


def check(found: dict[str, Times]) -> list[Check]:
    """Check the goals by the clock."""
    whole = found["all"].clock_ms + found["preview"].clock_ms
    return [
        checks.at_most("all DICOM objects beyond JSON", whole, ALL_MS, "ms"),
        *(
            checks.at_most("segmentation alone", found[kind].clock_ms, SEG_MS, "ms")
            for kind in (ObjectKind.SEG,)
            if kind in found
        ),
    ]


def table(found: dict[str, Times]) -> str:
    """Return the times as a table, each relative to JSON as well."""
    rows = ["| step | ms | CPU ms | CPU / JSON |", "| --- | --- | --- | --- |"]
    base = found["json"].cpu_ms
    for name, times in found.items():
        ratio = times.cpu_ms / base
        rows.append(f"| {name} | {times.clock_ms:.0f} | {times.cpu_ms:.0f} | {ratio:.1f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
