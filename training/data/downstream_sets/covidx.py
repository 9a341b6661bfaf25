"""COVIDx CXR, version 9A: normal, pneumonia of another cause, or COVID-19.

    <root>/covidx/   or <root>/
        train_COVIDx9A.txt, test_COVIDx9A.txt   patient, file, class and source, separated by spaces
        train/<file>, test/<file>               PNG and JPEG
    class is normal, pneumonia or COVID-19. 29,986 lines for training, 400 for the test.

Both protocols test on the test list. `mgca` holds out a fifth of the training list for validation,
`train_test_split(train_size=0.8, random_state=0)` over its lines, so that a patient may be in both
splits. `sound` holds out as many images of whole patients, and leaves out training images of
patients in the test list; a patient is identified by name and source, because sources use the same
numbers.

Source: github.com/lindawangg/COVID-Net (docs/COVIDx.md, labels/),
kaggle.com/datasets/andyczhao/covidx-cxr2; the split from the MGCA scripts,
github.com/HKU-MedAI/MGCA (preprocess/covidx.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.config.run import Protocol
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import hold_out, patients_for

CLASSES = ("normal", "pneumonia", "COVID-19")
LISTS = {"train": "train_COVIDx9A.txt", "test": "test_COVIDx9A.txt"}
_SOURCE = (
    "kaggle.com/datasets/andyczhao/covidx-cxr2 (images) and github.com/lindawangg/COVID-Net, "
    "labels/ (the lists of version 9A)"
)
_LICENCE = "COVIDx: that of each source"
_FIELDS = 4
_TRAIN = 0.8


@dataclass(frozen=True)
class _Line:
    """One line of a list; `reason` states why it cannot be used, or is ""."""

    patient: str
    image: str
    kind: str
    reason: str = ""


class Covidx:
    """Reader of COVIDx."""

    name = "covidx"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/covidx`, or in `root`.

        Raises:
            MissingData: a list or a folder of images is missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        parts = [(name,) for name in LISTS.values()] + [("train/",), ("test/",)]
        dataset_files.require(self.folder, parts, _SOURCE)
        self.lists = {
            split: dataset_files.table(self.folder, name, _SOURCE) for split, name in LISTS.items()
        }

    @cached_property
    def _lines(self) -> dict[str, list[_Line]]:
        return {
            split: [_line(text, split) for text in dataset_files.lines(path)]
            for split, path in self.lists.items()
        }

    def rows(self) -> Iterator[Row]:
        """Yield one row for each line, the training list first."""
        train, test = self._lines["train"], self._lines["test"]
        valid = self._valid(train)
        tested = {line.patient for line in test} if self.protocol == "sound" else set()
        for index, line in enumerate(train):
            reason = "patient of the test list" if line.patient in tested else ""
            yield self._row(line, "valid" if index in valid else "train", reason)
        for line in test:
            yield self._row(line, "test", "")

    def _valid(self, train: list[_Line]) -> frozenset[int]:
        """Return the lines of the training list that are held out for validation."""
        _, held = hold_out(len(train), len(train) - int(_TRAIN * len(train)))
        if self.protocol == "mgca":
            return frozenset(held)
        chosen = patients_for([line.patient for line in train], len(held))
        return frozenset(i for i, line in enumerate(train) if line.patient in chosen)

    def _row(self, line: _Line, split: str, reason: str) -> Row:
        return Row(
            table=self.name,
            image=line.image,
            patient_id=line.patient,
            split=split,
            text="",
            labels=(line.kind,),
            view="",
            sex="",
            age="",
            licence=_LICENCE,
            licence_class="noncommercial",
            left_out=line.reason or reason,
        )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digests of the lists."""
        return b"".join(dataset_files.digest(path) for path in self.lists.values())


def _line(text: str, split: str) -> _Line:
    fields = text.split(" ")
    if len(fields) != _FIELDS or not all(fields):
        return _Line("", f"{split}/{text}", "", "malformed line")
    patient, image, kind, source = fields
    reason = "" if kind in CLASSES else "unknown class"
    return _Line(f"{source} {patient}", f"{split}/{image}", kind, reason)
