"""SIIM-ACR Pneumothorax Segmentation: masks of pneumothorax.

    <root>/siim/   or <root>/
        train-rle.csv                           ImageId, EncodedPixels (also " EncodedPixels")
          or stage_2_train.csv                  the same columns; it takes precedence
        dicom-images-train/<study>/<series>/<ImageId>.dcm
        dicom-images-test/..., stage_2_images/<ImageId>.dcm    if the table names images in them
    One line for each mask: a run-length code (`rows.siim_rle`) of 1024 x 1024 pixels, or -1 for
    none. An image with several masks has several lines; their union is its mask. The table of stage
    2 has 12,047 images.

`sound` splits the sorted names of the images, 70 / 15 / 15 %. The release does not state which
images are of one patient. `mgca` splits lines in the order of the file,
`train_test_split(test_size=0.3, random_state=0)`, and the first half of the lines held out is the
test split; an image with two masks may so be in two splits, each with only the masks of its own
lines. Of the training images without a mask only as many are used as there are with one, drawn by
`RandomState(42).choice`, the first draw of the published run. A line is without a mask only if it
is exactly "-1": the published script that makes the split compares with " -1", the one that trains
with "-1", and a file with " -1" makes it fail; here all images of such a file are used.

Source: kaggle.com/c/siim-acr-pneumothorax-segmentation/data; the split from the MGCA scripts,
github.com/HKU-MedAI/MGCA (preprocess/siim.py, datasets/segmentation_dataset.py).
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from training.config.run import Protocol
from training.data.annotations import shapes, siim_rle
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import in_thirds

SIDE_PX = 1024
TABLES = ("stage_2_train.csv", "train-rle.csv")
FOLDERS = ("dicom-images-train/", "dicom-images-test/", "stage_2_images/")
_SOURCE = "kaggle.com/c/siim-acr-pneumothorax-segmentation/data (the competition's rules)"
_LICENCE = "SIIM-ACR Pneumothorax Segmentation competition rules"
_HELD_OUT = 0.3
_SEED = 42

_SplitImage = tuple[str, str]
"""Split, and an image in it."""


class Siim:
    """Reader of the SIIM-ACR challenge."""

    name = "siim"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/siim`, or in `root`.

        Raises:
            MissingData: the table or the images are missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        dataset_files.require(self.folder, (TABLES, FOLDERS), _SOURCE)
        there = [name for name in TABLES if dataset_files.is_there(self.folder, name)]
        self.csv = dataset_files.table(self.folder, there[0], _SOURCE)

    @cached_property
    def _lines(self) -> list[tuple[str, str]]:
        """Image and code of each line; the code keeps its spaces."""
        lines = dataset_files.records(self.csv, ("ImageId", "EncodedPixels"), strip=False)
        return [(line["ImageId"].strip(), line["EncodedPixels"]) for line in lines]

    @cached_property
    def _codes_and_order(self) -> tuple[dict[_SplitImage, list[str]], list[_SplitImage]]:
        """Codes of each image of a split, and the training images in the order of the draw."""
        if self.protocol == "mgca":
            names = [image for image, _ in self._lines]
            splits, train = in_thirds(len(names), _HELD_OUT)
        else:
            names = sorted({image for image, _ in self._lines})
            of_image, train = in_thirds(len(names), int(_HELD_OUT * len(names)))
            chosen = dict(zip(names, of_image, strict=True))
            splits = [chosen[image] for image, _ in self._lines]
        codes: dict[_SplitImage, list[str]] = {}
        for split, (image, code) in zip(splits, self._lines, strict=True):
            codes.setdefault((split, image), []).append(code)
        return codes, [("train", names[index]) for index in train]

    @cached_property
    def _images(self) -> dict[str, str]:
        """Image -> path; the folders are walked once."""
        found: dict[str, str] = {}
        for folder in FOLDERS:
            for path in sorted((self.folder / folder).rglob("*.dcm")):
                found.setdefault(path.stem, path.relative_to(self.folder).as_posix())
        return found

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image of a split, in the order of the table."""
        unused = self._unused() if self.protocol == "mgca" else frozenset()
        for image, codes in self._codes_and_order[0].items():
            reason = "not among the negatives that are drawn" if image in unused else ""
            yield self._row(image, codes, reason)

    def _unused(self) -> frozenset[_SplitImage]:
        """Return the training images without a mask that the published run does not use."""
        codes, order = self._codes_and_order
        negative = [p for p in dict.fromkeys(order) if siim_rle.NONE in codes[p]]
        positive = {p for p in order if any(code != siim_rle.NONE for code in codes[p])}
        count = min(len(positive), len(negative))
        chosen = np.random.RandomState(_SEED).choice(len(negative), count, replace=False)
        return frozenset(negative) - {negative[index] for index in chosen} - positive

    def _row(self, split_image: _SplitImage, codes: list[str], reason: str) -> Row:
        split, image = split_image
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
            masks={"Pneumothorax": (f"mask:{split}/{image}",)} if present else {},
            boxes=tuple(("Pneumothorax", box) for box in boxes),
            left_out=malformed or reason,
        )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image, or a PNG of its mask for `mask:<split>/<ImageId>`."""
        kind, _, name = path.partition("mask:")
        split, _, image = name.partition("/")
        codes = None if kind else self._codes_and_order[0].get((split, image))
        if codes is None:
            return dataset_files.inside(self.folder, path).read_bytes()
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        for code in codes:
            if code.strip() != siim_rle.NONE:
                mask |= siim_rle.mask(code, SIDE_PX, SIDE_PX)
        return shapes.png(mask)

    def fingerprint(self) -> bytes:
        """Return the digest of the table."""
        return dataset_files.digest(self.csv)


def _boxes(codes: list[str]) -> tuple[list[tuple[float, float, float, float]], str]:
    """Return the box around each mask, and the reason why the codes cannot be used or ""."""
    given = [code for code in codes if code.strip() != siim_rle.NONE]
    if given and len(given) < len(codes):
        return [], "marked both with and without pneumothorax"
    try:
        found = [siim_rle.bounds(code, SIDE_PX, SIDE_PX) for code in dict.fromkeys(given)]
    except siim_rle.MalformedRuns as error:
        return [], str(error)
    return [box for box in found if box is not None], ""
