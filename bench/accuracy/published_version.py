"""Accuracy of a published version on annotated radiographs, measured alike for any version.

    python -m bench.accuracy.published_version --data ../shared/data --version stable

The graphs and the thresholds are those of the version, and the post-processing is that of the
service, so that two versions, however they were trained, have comparable figures. For each set:

- AUROC of each finding that the version and the set name
- Dice of each mask
- for each finding with boxes: how often the peak of its phrase lies in a box
- the share of those boxes that `/detect` finds at IoU 0.3, and its false boxes for each radiograph
- the share of the decisions on findings that stay the same under each of several harmless changes
- the share of the radiographs of which a kind of pneumonia is present, but pneumonia is absent

`--probe` adds how well a linear classifier tells the sets apart by the features of the image. It is
fitted on the training split, and measured on the chosen one.
"""

import argparse
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.accuracy.sources.told_apart import told_apart
from radiograph.errors import InputError
from radiograph.geometry.geometry import Box, Geometry
from radiograph.manifest import ModelManifest, Task
from radiograph.postprocess import heads
from radiograph.postprocess.boxes import iou
from radiograph.preprocess import preprocess
from radiograph.readers.read import read
from radiograph.repository.repository import Repository
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.inference.phrase_encoder import PhraseEncoder
from service.settings import RuntimeSettings
from training.config.description import ORGANS
from training.config.run import DataConfig
from training.data.catalog import open_table
from training.data.rows.reader import Reader, Row
from training.evaluation.predictions import true_boxes, true_masks
from training.metrics import auroc, dice

Floats = NDArray[np.float32]
SETS = ("kermany_224", "nih_subset", "nih_boxes", "covid_cxr", "wingspan_ctr")
PHRASES = {
    "Lung opacity": "lung opacity",
    "Pneumonia": "pneumonia",
    "Infiltration": "infiltrate",
    "Atelectasis": "atelectasis",
    "Effusion": "pleural effusion",
    "Cardiomegaly": "cardiomegaly",
    "Pneumothorax": "pneumothorax",
    "Mass": "lung mass",
    "Nodule": "lung nodule",
}
"""Label of a box -> the phrase that is asked for."""
SUBTYPES = {"Bacterial pneumonia": "Pneumonia", "Viral pneumonia": "Pneumonia"}
"""Finding -> finding that it is a kind of."""
FOUND_IOU = 0.3
ALL = "all findings"


@dataclass
class Figures:
    """Values of one set, by the name of the figure and the label."""

    scores: dict[str, list[tuple[float, bool]]] = field(default_factory=lambda: defaultdict(list))
    means: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))


class Version:
    """A published version, as the service runs it."""

    def __init__(self, models: Path, name: str, alias: str) -> None:
        """Load the graphs and the manifest."""
        repository = Repository(models)
        number = repository.resolve(name, alias)
        folder = repository.folder(name, number)
        self.manifest: ModelManifest = repository.load_manifest(name, number)
        graphs = GraphCache(OrtOptions(RuntimeSettings()))
        self.backend = OrtBackend(folder, self.manifest, graphs)
        if self.manifest.text is None:
            raise SystemExit("the version has no text encoder")
        self._encoder = PhraseEncoder(self.backend, self.manifest.text, folder, cache_size=64)
        self.phrases = self.encode(PHRASES.values())

    def encode(self, phrases: Iterable[str]) -> Floats:
        """Return the features of phrases, P x D."""
        return np.concatenate([self._encoder.encode([text]) for text in phrases])

    def read(self, picture: bytes) -> tuple[Floats, Geometry]:
        """Return the input of the model, 1 x S x S, and the geometry of a picture."""
        return preprocess(read(picture), self.manifest.preprocess)

    def head(self, task: Task, method: str | None = None) -> str:
        """Return the name of the first head of a kind."""
        found = self.manifest.heads_for(task)
        return next(n for n, spec in found.items() if method in (None, spec.method))

    def positive(self, tensor: Floats) -> dict[str, bool]:
        """Return the decision on each finding."""
        name = self.head(Task.CLASSIFY)
        raw = self.backend.infer(tensor[None], [name]).heads[name]
        found = heads.classify(self.manifest.heads[name], _first(raw))
        return {each.name: each.positive for each in found}


def main() -> None:
    """Measure and print."""
    parsed = parser(__doc__ or "")
    parsed.add_argument("--probe", action="store_true", help="tell the sets apart by the features")
    options = parsed.parse_args()
    version = Version(options.models_dir, options.model, options.version)
    print(f"{version.manifest.name}/{version.manifest.version}, split {options.split}\n")
    print("| set | figure | label | value | n |\n|---|---|---|---|---|")
    for name in options.sets:
        figures = Figures()
        for row, reader in rows(options, name, options.split):
            try:
                measure(version, row, reader, figures)
            except InputError:
                continue
        show(name, figures)
    if options.probe:
        print(
            f"| {', '.join(options.sets)} | sets told apart | | {probe(version, options):.3f} | |"
        )
    version.backend.close()


def rows(options: argparse.Namespace, name: str, split: str) -> Iterator[tuple[Row, Reader]]:
    """Yield the frontal radiographs of a split, at most as many as asked for, evenly spread."""
    table = open_table(DataConfig(root=options.data, tables=(name,)), name)
    usable = [row for row in table.rows() if row.split == split and not row.reason_left_out]
    step = max(1, len(usable) // options.limit) if options.limit else 1
    for row in usable[::step]:
        yield row, table


def measure(version: Version, row: Row, reader: Reader, figures: Figures) -> None:
    """Add the figures of one radiograph."""
    picture = reader.read(row.image)
    tensor, geometry = version.read(picture)
    classify, segment = version.head(Task.CLASSIFY), version.head(Task.SEGMENT)
    detect, ground = version.head(Task.DETECT), version.head(Task.GROUND, "aligned")
    names = [classify, segment, detect, ground]
    raw = version.backend.infer(tensor[None], names, version.phrases).heads
    specs = version.manifest.heads
    findings = heads.classify(specs[classify], _first(raw[classify]))
    for finding in findings:
        if finding.name in row.findings:
            pair = (finding.probability, row.findings[finding.name])
            figures.scores[finding.name].append(pair)
    add_contradictions(findings, figures)
    masks, counted = true_masks(reader.read, row, geometry)
    for mask in heads.segment(specs[segment], _first(raw[segment]), geometry, None):
        if mask.name in masks and masks[mask.name].any():
            value = dice(mask.mask, masks[mask.name], counted)
            figures.means["dice", mask.name].append(value)
    boxes = {n: b for n, b in true_boxes(row, masks).items() if n in PHRASES}
    answers = heads.ground(specs[ground], _first(raw[ground]), list(PHRASES.values()), geometry)
    for label, answer in zip(PHRASES, answers, strict=True):
        if of_label := boxes.get(label):
            inside = answer.peak is not None and any(_in(answer.peak, box) for box in of_label)
            figures.means["pointing", label].append(float(inside))
            figures.means["pointing", ALL].append(float(inside))
    found = heads.detect(specs[detect], _first(raw[detect]), geometry)
    _compare_boxes(found, boxes, figures, normal=row.normal)
    _compare_decisions(version, tensor, picture, figures)


def add_contradictions(findings: Iterable[heads.Finding], figures: Figures) -> None:
    """Add whether each subtype is present while its finding is absent, where both are answered."""
    positive = {finding.name: finding.positive for finding in findings}
    for subtype, finding in SUBTYPES.items():
        if subtype in positive and finding in positive:
            alone = float(positive[subtype] and not positive[finding])
            figures.means["present without pneumonia", subtype].append(alone)


def _compare_boxes(
    found: Sequence[heads.Detection],
    boxes: Mapping[str, Sequence[Box]],
    figures: Figures,
    *,
    normal: bool | None,
) -> None:
    """Add the boxes that are found, and those that are false where all boxes are known."""
    for label, of_label in boxes.items():
        mine = [each.box for each in found if each.name == label]
        for box in of_label:
            hit = float(any(iou(box, each) >= FOUND_IOU for each in mine))
            figures.means["boxes found", label].append(hit)
            figures.means["boxes found", ALL].append(hit)
    if boxes or normal:
        false = [
            each
            for each in found
            if each.name not in ORGANS
            and not any(iou(box, each.box) >= FOUND_IOU for box in boxes.get(each.name, []))
        ]
        figures.means["false boxes for each radiograph", ALL].append(float(len(false)))


def _compare_decisions(version: Version, tensor: Floats, picture: bytes, figures: Figures) -> None:
    """Add the decisions on findings that stay under each harmless change of the picture."""
    before = version.positive(tensor)
    for change, changed in CHANGES.items():
        after = version.positive(version.read(changed(picture))[0])
        same = [float(after[name] == before[name]) for name in before]
        figures.means["decisions that stay", change].extend(same)
        figures.means["decisions that stay", "all changes"].extend(same)


def show(name: str, figures: Figures) -> None:
    """Print the figures of a set."""
    areas = []
    for label, pairs in figures.scores.items():
        scores, true = np.array([s for s, _ in pairs]), np.array([t for _, t in pairs])
        if true.any() and not true.all():
            areas.append(auroc(scores, true))
            print(f"| {name} | auroc | {label} | {areas[-1]:.3f} | {true.sum()} of {len(true)} |")
    if len(areas) > 1:
        print(f"| {name} | auroc | mean | {np.mean(areas):.3f} | {len(areas)} labels |")
    for (figure, label), values in sorted(figures.means.items()):
        print(f"| {name} | {figure} | {label} | {np.mean(values):.3f} | {len(values)} |")


def probe(version: Version, options: argparse.Namespace) -> float:
    """Return the balanced accuracy of a linear classifier of the sets."""
    fitted, tested = (_features(version, options, split) for split in ("train", options.split))
    return told_apart(fitted, tested)


def _features(version: Version, options: argparse.Namespace, split: str) -> list[Floats]:
    """Return global features of at most 150 radiographs of each set, n x C."""
    limited = argparse.Namespace(**{**vars(options), "limit": 150})
    found: list[Floats] = []
    for name in options.sets:
        tensors = (
            version.read(reader.read(row.image))[0] for row, reader in rows(limited, name, split)
        )
        answers = [version.backend.infer(tensor[None], []).features for tensor in tensors]
        found.append(np.concatenate([each["global_features"] for each in answers]))
    return found


def _first(raw: dict[str, Floats]) -> dict[str, Floats]:
    return {name: np.asarray(value[0]) for name, value in raw.items()}


def _in(point: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]


def _changed(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> "Change":
    """Return a function on pictures from one on gray levels in [0, 1]."""

    def run(picture: bytes) -> bytes:
        with Image.open(io.BytesIO(picture)) as image:
            gray = np.asarray(image.convert("L")) / 255
        levels = np.clip(change(gray), 0, 1) * 255
        return _encoded(Image.fromarray(levels.round().astype(np.uint8)), "PNG")

    return run


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _border(level: float) -> "Change":
    return _changed(lambda gray: np.pad(gray, round(0.07 * gray.shape[0]), constant_values=level))


def _jpeg(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return _encoded(image.convert("L"), "JPEG", quality=60)


def _smaller(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        size = (image.width * 3 // 4, image.height * 3 // 4)
        return _encoded(image.convert("L").resize(size, Image.Resampling.LANCZOS), "PNG")


def _turned(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return _encoded(image.convert("L").rotate(3, Image.Resampling.BILINEAR), "PNG")


Change = Callable[[bytes], bytes]
CHANGES: dict[str, Change] = {
    "black border": _border(0.0),
    "white border": _border(1.0),
    "gamma 0.8": _changed(lambda gray: gray**0.8),
    "gamma 1.25": _changed(lambda gray: gray**1.25),
    "less contrast": _changed(lambda gray: 0.15 + 0.7 * gray),
    "JPEG 60": _jpeg,
    "three quarters of the size": _smaller,
    "3 degrees": _turned,
}
"""Changes that alter no finding."""


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options of a measurement of a version on annotated radiographs."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="repository")
    parser.add_argument("--model", default="g2d-cxr", help="name of the model")
    parser.add_argument("--version", default="stable", help="alias or number of the version")
    parser.add_argument("--split", default="test", help="split that is measured")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="data sets")
    parser.add_argument("--limit", type=int, help="largest number of radiographs of each set")
    return parser


if __name__ == "__main__":
    main()
