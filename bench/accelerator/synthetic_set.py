"""A radiograph table of drawn thoraces, for runs of every head without any patient's data.

Each drawing has two dark lungs and a heart, with their masks; every other one has nodules, with
their boxes, their label and a sentence.
"""

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAME = "synthetic"
SIDE = 256
STRUCTURES = ("Left lung", "Right lung", "Heart")
FINDING = "Nodule"
_COLUMNS = (
    "image", "patient_id", "split", "text", "labels", "view", "sex", "age", "width", "height",
    "lung_mask", "class_masks", "boxes", "licence", "licence_class", "extra",
)  # fmt: skip
_RADIUS = 10


def write_set(root: Path, count: int = 64) -> None:
    """Write `<root>/synthetic.csv` with its images and masks.

    Args:
        root: folder of data sets, created if needed.
        count: number of drawings; three in four are for training, the others for validation and
            test in turns.
    """
    folder = root / NAME
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (root / f"{NAME}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(_draw(root, number, rng) for number in range(count))


def _draw(root: Path, number: int, rng: np.random.Generator) -> dict[str, str]:
    """Save one drawing with its masks and return its line."""
    shift = rng.uniform(-8, 8, 2)
    masks = {
        "Right lung": _ellipse(80 + shift[0], 120 + shift[1], 38, 75),  # on the left of the image
        "Left lung": _ellipse(176 + shift[0], 120 + shift[1], 36, 72),
        "Heart": _ellipse(140 + shift[0], 165 + shift[1], 34, 30),
    }
    pixels = np.full((SIDE, SIDE), 170.0)
    pixels[masks["Right lung"] | masks["Left lung"]] = 60
    pixels[masks["Heart"]] = 200
    centres = [(rng.uniform(60, 95), rng.uniform(80, 160)) for _ in range(number % 2)]
    for x, y in centres:
        pixels[_ellipse(x, y, _RADIUS, _RADIUS)] = 190
    pixels += rng.normal(0, 8, pixels.shape)
    image = f"{NAME}/{number}.png"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / image)
    boxes = [
        {"label": FINDING, "xyxy": [x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS]}
        for x, y in centres
    ]
    split = "train" if number % 4 < 3 else ("valid" if number % 8 == 3 else "test")
    return dict.fromkeys(_COLUMNS, "") | {
        "image": image,
        "patient_id": f"{split} {number // 2 if split == 'train' else number}",
        "split": split,
        "text": "There is a nodule in the right lung." if centres else "The lungs are clear.",
        "labels": FINDING if centres else "No Finding",
        "view": "PA",
        "class_masks": json.dumps(_saved(root, number, masks)),
        "boxes": json.dumps(boxes),
        "licence": "CC0-1.0",
        "licence_class": "open",
    }


def _saved(root: Path, number: int, masks: dict[str, NDArray[np.bool_]]) -> dict[str, str]:
    """Save masks as PNG and return their paths by the name of the structure."""
    paths = {}
    for name, mask in masks.items():
        paths[name] = f"{NAME}/{number}-{name.lower().replace(' ', '-')}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / paths[name])
    return paths


def _ellipse(x: float, y: float, width: float, height: float) -> NDArray[np.bool_]:
    """Return an ellipse by its centre and half axes in pixels, SIDE x SIDE."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: NDArray[np.bool_] = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 <= 1
    return inside
