"""Effect of cleaning the masks of a published version, on radiographs with annotated masks.

    python -m bench.accuracy.masks.mask_cleaning --data ../shared/data

The graphs of the version run once for each radiograph. Its masks are then computed twice by the
post-processing of the service: as the model gives them, and with the cleaning of the options. A
Markdown table shows, for each set and structure: Dice, the number of masks with islands and with
holes, and the intersection over union of the box with that of the annotated mask. Changes are
means of differences, with 95 % intervals over patients. With `--split valid`, the thresholds of the
best mean Dice are shown as well.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, MaskCleaning, ModelManifest, Task
from radiograph.postprocess.boxes import bounds, iou
from radiograph.postprocess.components import find_components
from radiograph.postprocess.heads import Mask, segment
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import read
from radiograph.repository.repository import Repository
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.settings import RuntimeSettings
from training.data.catalog import open_reader
from training.data.rows.reader import Reader
from training.evaluation.predictions import true_masks
from training.metrics import bootstrap, dice, weighted_mean

Value = TypeVar("Value")
Bools = NDArray[np.bool_]
THRESHOLDS = np.arange(0.2, 0.81, 0.05)
SETS = ("kermany_224", "covid_cxr", "wingspan_ctr")


@dataclass(frozen=True)
class Annotated:
    """One radiograph: raw outputs of the head for masks, and the truth in source pixels."""

    patient: str
    raw: dict[str, NDArray[np.float32]]
    geometry: Geometry
    masks: dict[str, Bools]
    counted: Bools


@dataclass(frozen=True)
class Figures:
    """Figures of one mask, each as it is and cleaned: Dice, box overlap, islands, hole pixels."""

    patient: str
    dice: tuple[float, float]
    box_iou: tuple[float, float]
    islands: tuple[int, int]
    hole_px: tuple[int, int]


def main() -> None:
    """Measure and print."""
    options = _options()
    clean = MaskCleaning(
        largest=options.largest, min_share=options.min_share, fill_holes=options.fill_holes
    )
    backend, manifest = load(options)
    head, spec = next(iter(manifest.heads_for(Task.SEGMENT).items()))
    print(f"{manifest.name}/{manifest.version}, split {options.split}, {clean!r}\n\n{HEADER}")
    times: list[tuple[float, float]] = []
    for name in options.sets:
        reader = open_reader(options.data, name)
        images = list(predict(backend, manifest.preprocess, head, reader, options.split))
        for label in (label.name for label in spec.labels if not label.withheld):
            if found := list(compare(spec, label, clean, images)):
                print(row(name, label, found))
            if found and options.split == "valid":
                best = [best_threshold(spec, label, each, images) for each in (None, clean)]
                print(f"| {name} | {label}, best threshold | | {best[0]:.2f} | {best[1]:.2f} |")
        times += [milliseconds(spec, clean, image) for image in images]
    backend.close()
    before, after = np.median(times, axis=0)
    print(f"\nmasks of one radiograph: {before:.2f} ms, cleaned {after:.2f} ms, at the median")


def load(options: argparse.Namespace) -> tuple[OrtBackend, ModelManifest]:
    """Return the graphs and the manifest of the version."""
    repository = Repository(options.models_dir)
    number = repository.resolve(options.model, options.version)
    manifest = repository.load_manifest(options.model, number)
    graphs = GraphCache(OrtOptions(RuntimeSettings()))
    return OrtBackend(repository.folder(options.model, number), manifest, graphs), manifest


def predict(
    backend: OrtBackend, spec: PreprocessSpec, head: str, reader: Reader, split: str
) -> Iterator[Annotated]:
    """Run a head on every radiograph of a split that has masks."""
    for each in reader.rows():
        if each.split != split or each.reason_left_out or not (each.lung_mask or each.masks):
            continue
        tensor, geometry = preprocess(read(reader.read(each.image)), spec)
        raw = backend.infer(tensor[None], [head]).heads[head]
        masks, counted = true_masks(reader.read, each, geometry)
        outputs = {name: np.asarray(value[0]) for name, value in raw.items()}
        yield Annotated(each.patient_id, outputs, geometry, masks, counted)


def compare(
    spec: HeadSpec, label: str, clean: MaskCleaning, images: Iterable[Annotated]
) -> Iterator[Figures]:
    """Yield the figures of one label for each image that shows the structure."""
    both = [_with_label(spec, label, {"clean": each}) for each in (None, clean)]
    for image in images:
        true = image.masks.get(label)
        if true is None or not true.any():
            continue
        masks = [_mask(each, label, image) for each in both]
        yield Figures(
            image.patient,
            _pair(dice(mask.mask, true, image.counted) for mask in masks),
            _pair(_box_overlap(mask, true) for mask in masks),
            _pair(islands(mask.mask) for mask in masks),
            _pair(hole_pixels(mask.mask) for mask in masks),
        )


def best_threshold(
    spec: HeadSpec, label: str, clean: MaskCleaning | None, images: Iterable[Annotated]
) -> float:
    """Return the threshold of the best mean Dice, as calibration chooses it."""
    changed = [_with_label(spec, label, {"clean": clean, "threshold": t}) for t in THRESHOLDS]
    values = [
        [
            dice(_mask(each, label, image).mask, image.masks[label], image.counted)
            for each in changed
        ]
        for image in images
        if label in image.masks
    ]
    return float(THRESHOLDS[int(np.argmax(np.mean(values, axis=0)))])


def milliseconds(spec: HeadSpec, clean: MaskCleaning, image: Annotated) -> tuple[float, float]:
    """Return the time of all masks of one radiograph, as they are and cleaned."""
    labels = tuple(label.model_copy(update={"clean": clean}) for label in spec.labels)
    taken = []
    for each in (spec, spec.model_copy(update={"labels": labels})):
        start = time.perf_counter()
        segment(each, image.raw, image.geometry, None)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken[0], taken[1]


def islands(mask: Bools) -> int:
    """Return the number of components beside the largest one."""
    return max(0, find_components(mask).areas.size - 1)


def hole_pixels(mask: Bools) -> int:
    """Return the number of pixels in parts of the background that do not reach the border."""
    areas = find_components(~np.pad(mask, 1)).areas
    return int(areas[1:].sum())


HEADER = """\
| set | mask | n | Dice | cleaned | change | masks with islands | with holes | box IoU | cleaned \
| change |
|---|---|---|---|---|---|---|---|---|---|---|"""


def row(name: str, label: str, found: list[Figures]) -> str:
    """Return one row of the table."""
    patients = [each.patient for each in found]
    with_islands = [sum(each.islands[i] > 0 for each in found) for i in (0, 1)]
    with_holes = [sum(each.hole_px[i] > 0 for each in found) for i in (0, 1)]
    cells = [
        name, label, str(len(found)),
        *_changes(patients, np.array([each.dice for each in found])),
        f"{with_islands[0]} -> {with_islands[1]}", f"{with_holes[0]} -> {with_holes[1]}",
        *_changes(patients, np.array([each.box_iou for each in found])),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _changes(patients: list[str], pairs: NDArray[np.float64]) -> tuple[str, str, str]:
    """Return both means, and that of the differences with its interval, of N x 2 values."""
    differences = pairs[:, 1] - pairs[:, 0]
    found = bootstrap(lambda counts: weighted_mean(differences, counts), patients)
    before, after = pairs.mean(axis=0)
    change = f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
    return f"{before:.4f}", f"{after:.4f}", change


def _pair(values: Iterable[Value]) -> tuple[Value, Value]:
    before, after = values
    return before, after


def _with_label(spec: HeadSpec, name: str, changes: dict[str, object]) -> HeadSpec:
    labels = tuple(x.model_copy(update=changes) if x.name == name else x for x in spec.labels)
    return spec.model_copy(update={"labels": labels})


def _mask(spec: HeadSpec, label: str, image: Annotated) -> Mask:
    masks = segment(spec, image.raw, image.geometry, None)
    return next(mask for mask in masks if mask.name == label)


def _box_overlap(mask: Mask, true: Bools) -> float:
    box = bounds(true)
    return 0.0 if mask.box is None or box is None else iou(mask.box, box)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder of the data sets.")
    parser.add_argument("--sets", nargs="+", default=SETS, help="Names of the data sets.")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--model", default="g2d-cxr")
    parser.add_argument("--version", default="stable", help="Version number or alias.")
    parser.add_argument("--largest", type=int, default=1)
    parser.add_argument("--min-share", type=float, default=0.0)
    parser.add_argument("--fill-holes", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
