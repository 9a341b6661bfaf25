"""Object-CXR: foreign objects in front of the lungs, such as buttons and necklaces.

    <root>/object_cxr/   or <root>/
        train.csv, dev.csv [, test.csv]   image_name, annotation; one line for each image
        train/<image_name>, dev/<image_name> [, test/<image_name>]   8-bit JPEG of any size
    annotation holds the shapes of all objects (`rows.shapes`); it is empty if there is none.
    8,000 images for training, 1,000 for development; the labels of the test were not released.

The boxes around the shapes are the targets of detection, their union is the mask. (The published
script makes another box of a polygon, a larger one about the pole of its outline.)

Both protocols test on dev.csv, as published, and validate on the same fifth of train.csv,
`train_test_split(test_size=1600, random_state=0)`. This is the published count; the script in its
present form takes 800. The release does not state which images are of one patient. Images of
test.csv are in no published split and are left out.

Source: github.com/hlk-1135/object-CXR (README),
academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5; the split from
github.com/HKU-MedAI/MGCA (preprocess/object_cxr.py) and the paper's counts.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from PIL import Image

from radiograph.limits import as_malformed_input
from radiograph.readers.raster import exif_orientation
from training.config.run import Protocol
from training.data.annotations import shapes
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import hold_out

TABLES = ("train", "dev", "test")
_SOURCE = (
    "Object-CXR, academictorrents.com/details/fdc91f11d7010f7259a05403fc9d00079a09f5d5 "
    "(JF Healthcare; unpack train.zip and dev.zip)"
)
_LICENCE = "Object-CXR: not stated by its release"
_VALID = 0.2


class ObjectCxr:
    """Reader of Object-CXR."""

    name = "object_cxr"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/object_cxr`, or in `root`.

        Raises:
            MissingData: a table or a folder of images is missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        dataset_files.require(
            self.folder, (("train.csv",), ("dev.csv",), ("train/",), ("dev/",)), _SOURCE
        )
        there = [table for table in TABLES if dataset_files.is_there(self.folder, f"{table}.csv")]
        self.tables = {p: dataset_files.table(self.folder, f"{p}.csv", _SOURCE) for p in there}

    @cached_property
    def _annotations(self) -> dict[str, str]:
        """Path of an image -> annotation, the first one if the image is listed twice."""
        found: dict[str, str] = {}
        for table in self.tables:
            for image, annotation in self._lines(table):
                found.setdefault(image, annotation)
        return found

    def _lines(self, table: str) -> Iterator[tuple[str, str]]:
        for line in dataset_files.records(self.tables[table], ("image_name", "annotation")):
            yield f"{table}/{line['image_name']}", line["annotation"]

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the tables."""
        lines = list(self._lines("train"))
        held = set(hold_out(len(lines), round(_VALID * len(lines)))[1])
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
            masks={"Foreign object": (f"mask:{image}",)} if found else {},
            boxes=tuple(("Foreign object", shape.box) for shape in found),
            left_out=reason,
        )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image, or a PNG of its mask for `mask:<path of the image>`."""
        kind, _, image = path.partition("mask:")
        if kind or image not in self._annotations:
            return dataset_files.inside(self.folder, path).read_bytes()
        place = dataset_files.inside(self.folder, image)
        with as_malformed_input("the image cannot be decoded"), Image.open(place) as opened:
            rows, columns = exif_orientation(opened).upright_shape(opened.height, opened.width)
        return shapes.png(shapes.draw(shapes.parse(self._annotations[image]), rows, columns))

    def fingerprint(self) -> bytes:
        """Return the digests of the tables."""
        return b"".join(dataset_files.digest(path) for path in self.tables.values())
