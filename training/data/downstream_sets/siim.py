"""SIIM-ACR Pneumothorax Segmentation.

    <root>/siim/   or <root>/
        train-rle.csv                           ImageId, EncodedPixels (also " EncodedPixels")
          or stage_2_train.csv                  the same columns; where it is there, it is taken
        dicom-images-train/<study>/<series>/<ImageId>.dcm
        dicom-images-test/..., stage_2_images/<ImageId>.dcm    where the table names images of them
    One line a mask: a run-length code (`rle`) of 1024 x 1024 pixels, or -1 for none. An image with
    several masks has several lines; their union is its mask. 12,047 images in stage 2's table.

`sound` splits images: 70 / 15 / 15 % of their sorted names. Nothing says which images are of one
patient. `mgca` splits lines in the order of the file, `train_test_split(test_size=0.3,
random_state=0)`, what is held out halved, the first half for the test; so an image with two masks
may be in two splits, and each knows only the masks whose lines it got. Of its training images
without a mask only as many take part as there are with one: `RandomState(42).choice`, the first
draw of the published run. A line counts as without a mask only if it is exactly "-1": the published
script that makes the split compares with " -1" instead, the one that trains with "-1", and on a
file with " -1" it fails; here all its images then take part.

Source: kaggle.com/c/siim-acr-pneumothorax-segmentation/data; the split from the MGCA scripts,
github.com/HKU-MedAI/MGCA (preprocess/siim.py, datasets/segmentation_dataset.py).
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from training.config.run import Protocol
from training.data.rows import dataset_files, shapes, siim_rle
from training.data.rows.reader import Row
from training.data.rows.splits import in_thirds

SIDE_PX = 1024
TABLES = ("stage_2_train.csv", "train-rle.csv")
FOLDERS = ("dicom-images-train/", "dicom-images-test/", "stage_2_images/")
_SOURCE = "kaggle.com/c/siim-acr-pneumothorax-segmentation/data (the competition's rules)"
_LICENCE = "SIIM-ACR Pneumothorax Segmentation competition rules"
_HELD_OUT = 0.3
_SEED = 42

_Part = tuple[str, str]
"""A split and an image in it."""


class Siim:
    """The reader of the SIIM-ACR challenge."""

    name = "siim"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Look for the tree in `<root>/siim`, or in `root`.

        Raises:
            MissingData: the table or the images are not there.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        dataset_files.require(self.folder, (TABLES, FOLDERS), _SOURCE)
        there = [name for name in TABLES if dataset_files.is_there(self.folder, name)]
        self.csv = dataset_files.table(self.folder, there[0], _SOURCE)

    @cached_property
    def _lines(self) -> list[tuple[str, str]]:
        """Image and code of each line; the code with its spaces."""
        lines = dataset_files.records(self.csv, ("ImageId", "EncodedPixels"), strip=False)
        return [(line["ImageId"].strip(), line["EncodedPixels"]) for line in lines]

    @cached_property
    def _split(self) -> tuple[dict[_Part, list[str]], list[_Part]]:
        """Codes of each part; and the parts of the training split, in the order of the draw."""
        if self.protocol == "mgca":
            names = [image for image, _ in self._lines]
            splits, train = in_thirds(len(names), _HELD_OUT)
        else:
            names = sorted({image for image, _ in self._lines})
            of_image, train = in_thirds(len(names), int(_HELD_OUT * len(names)))
            chosen = dict(zip(names, of_image, strict=True))
            splits = [chosen[image] for image, _ in self._lines]
        parts: dict[_Part, list[str]] = {}
        for split, (image, code) in zip(splits, self._lines, strict=True):
            parts.setdefault((split, image), []).append(code)
        return parts, [("train", names[index]) for index in train]

    @cached_property
    def _images(self) -> dict[str, str]:
        """Image -> its path; the tree is walked once."""
        found: dict[str, str] = {}
        for folder in FOLDERS:
            for path in sorted((self.folder / folder).rglob("*.dcm")):
                found.setdefault(path.stem, path.relative_to(self.folder).as_posix())
        return found

    def rows(self) -> Iterator[Row]:
        """One row an image of a split, in the order of the table."""
        undrawn = self._undrawn() if self.protocol == "mgca" else frozenset()
        for part, codes in self._split[0].items():
            reason = "not among the negatives that are drawn" if part in undrawn else ""
            yield self._row(part, codes, reason)

    def _undrawn(self) -> frozenset[_Part]:
        """Parts of the training split without a mask that the published run passes over."""
        parts, order = self._split
        negative = [p for p in dict.fromkeys(order) if siim_rle.NONE in parts[p]]
        positive = {p for p in order if any(code != siim_rle.NONE for code in parts[p])}
        count = min(len(positive), len(negative))
        chosen = np.random.RandomState(_SEED).choice(len(negative), count, replace=False)
        return frozenset(negative) - {negative[index] for index in chosen} - positive

    def _row(self, part: _Part, codes: list[str], reason: str) -> Row:
        split, image = part
        boxes, malformed = _boxes(codes)
        present = any(code.strip() != siim_rle.NONE for code in codes)
        return Row(
            table=self.name,
            image=self._images.get(image, f"{image}.dcm"),
            patient_id=image,
            split=split,
            text="",
            labels=("Pneumothorax",) if present else (),
            view="",
            sex="",
            age="",
            licence=_LICENCE,
            licence_class="noncommercial",
            masks={"Pneumothorax": f"mask:{split}/{image}"} if present else {},
            boxes=tuple(("Pneumothorax", box) for box in boxes),
            complete=("Pneumothorax",),
            left_out=malformed or reason,
        )

    def read(self, path: str) -> bytes:
        """The bytes of one image, or a PNG of all masks for `mask:<split>/<ImageId>`."""
        kind, _, name = path.partition("mask:")
        split, _, image = name.partition("/")
        codes = None if kind else self._split[0].get((split, image))
        if codes is None:
            return dataset_files.inside(self.folder, path).read_bytes()
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        for code in codes:
            if code.strip() != siim_rle.NONE:
                mask |= siim_rle.mask(code, SIDE_PX, SIDE_PX)
        return shapes.png(mask)

    def fingerprint(self) -> bytes:
        """Changes when the table does."""
        return dataset_files.digest(self.csv)


def _boxes(codes: list[str]) -> tuple[list[tuple[float, float, float, float]], str]:
    """The box around each mask; and why the codes cannot be used, or ""."""
    given = [code for code in codes if code.strip() != siim_rle.NONE]
    if given and len(given) < len(codes):
        return [], "marked both with and without pneumothorax"
    try:
        found = [siim_rle.bounds(code, SIDE_PX, SIDE_PX) for code in dict.fromkeys(given)]
    except siim_rle.MalformedRuns as error:
        return [], str(error)
    return [box for box in found if box is not None], ""
