"""Object-CXR: foreign objects in front of the lungs, such as buttons and necklaces.

    <root>/object_cxr/   or <root>/
        train.csv, dev.csv [, test.csv]   image_name, annotation; one line an image
        train/<image_name>, dev/<image_name> [, test/<image_name>]   8-bit JPEG of any size
    annotation is empty where there is no object, else the shapes of `shapes`. 8,000 images for
    training, 1,000 for development; the challenge kept the labels of its test to itself.

The boxes around the shapes are the truth of detection, the shapes together are a mask. (The
published script makes another box of a polygon, a larger one about the pole of its outline.)

Both protocols test on dev.csv, as published. For validation a fifth of train.csv is taken:
`mgca` by `train_test_split(test_size=1600, random_state=0)`, the count that is published (the
script as it stands takes 800); it has no fault, so `sound` takes the same. Nothing says which
images are of one patient. Images of test.csv are in no published split and take no part.

Source: github.com/hlk-1135/object-CXR (README),
academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5; the split from
github.com/HKU-MedAI/MGCA (preprocess/object_cxr.py) and the paper's counts.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from PIL import ExifTags, Image

from radiograph.limits import as_malformed_input
from training.config.run import Protocol
from training.data.rows import dataset_files, shapes
from training.data.rows.reader import Row
from training.data.rows.splits import drawn

PARTS = ("train", "dev", "test")
_SOURCE = (
    "Object-CXR, academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5 "
    "(JF Healthcare; unpack train.zip and dev.zip)"
)
_LICENCE = "Object-CXR: not stated by its release"
_VALID = 0.2
_TURNED = range(5, 9)
"""EXIF orientations by which `radiograph.readers.raster` turns rows into columns."""


class ObjectCxr:
    """The reader of Object-CXR."""

    name = "object_cxr"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Look for the tree in `<root>/object_cxr`, or in `root`.

        Raises:
            MissingData: a table or a folder of images is not there.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        dataset_files.require(
            self.folder, (("train.csv",), ("dev.csv",), ("train/",), ("dev/",)), _SOURCE
        )
        there = [part for part in PARTS if dataset_files.is_there(self.folder, f"{part}.csv")]
        self.tables = {p: dataset_files.table(self.folder, f"{p}.csv", _SOURCE) for p in there}

    @cached_property
    def _annotations(self) -> dict[str, str]:
        """Path of an image -> its annotation; of one listed twice, the first."""
        found: dict[str, str] = {}
        for part in self.tables:
            for image, annotation in self._lines(part):
                found.setdefault(image, annotation)
        return found

    def _lines(self, part: str) -> Iterator[tuple[str, str]]:
        for line in dataset_files.records(self.tables[part], ("image_name", "annotation")):
            yield f"{part}/{line['image_name']}", line["annotation"]

    def rows(self) -> Iterator[Row]:
        """One row an image, in the order of the tables."""
        lines = list(self._lines("train"))
        held = set(drawn(len(lines), round(_VALID * len(lines)))[1])
        for index, (image, annotation) in enumerate(lines):
            yield self._row(image, annotation, "valid" if index in held else "train")
        for image, annotation in self._lines("dev"):
            yield self._row(image, annotation, "test")
        if "test" in self.tables:
            for image, annotation in self._lines("test"):
                yield self._row(image, annotation, "")

    def _row(self, image: str, annotation: str, split: str) -> Row:
        reason = "" if split else "in no published split"
        try:
            found = shapes.parse(annotation)
        except shapes.MalformedShape as error:
            found, reason = (), str(error)
        return Row(
            table=self.name,
            image=image,
            patient_id=image,
            split=split,
            text="",
            labels=("Foreign object",) if found else (),
            view="",
            sex="",
            age="",
            licence=_LICENCE,
            licence_class="noncommercial",
            masks={"Foreign object": f"mask:{image}"} if found else {},
            boxes=tuple(("Foreign object", shape.box) for shape in found),
            complete=("Foreign object",),
            left_out=reason,
        )

    def read(self, path: str) -> bytes:
        """The bytes of one image, or a PNG of its shapes for `mask:<path of the image>`."""
        kind, _, image = path.partition("mask:")
        if kind or image not in self._annotations:
            return dataset_files.inside(self.folder, path).read_bytes()
        place = dataset_files.inside(self.folder, image)
        with as_malformed_input("the image cannot be decoded"), Image.open(place) as opened:
            columns, rows = opened.size
            if opened.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED:
                columns, rows = rows, columns
        return shapes.png(shapes.draw(shapes.parse(self._annotations[image]), rows, columns))

    def fingerprint(self) -> bytes:
        """Changes when a table does."""
        return b"".join(dataset_files.digest(path) for path in self.tables.values())
