"""CheXpert for classification: five labels, frontal images, tested on the 202 published images.

The files are those of `chexpert`, in <root>/chexpert/ or <root>/. It has a name of its own because
the split differs: `chexpert` keeps the official one, for pre-training.

    Atelectasis, Edema, Pleural Effusion   an uncertain label counts as present
    Cardiomegaly, Consolidation            an uncertain label counts as absent; a label that is
                                           not stated is absent for all five

Both protocols test on the frontal images of valid.csv, which radiologists labelled. `sound` holds
out 5,000 frontal images of train.csv for validation, of whole patients. `mgca` follows the
published script, on all views: for each of the five labels 200 images that show it and nothing else
are set aside (CheXpert 5x200, `sample(200, random_state=0)`), then 5,000 rows are drawn by their
position (`numpy.random.seed(0)`), and removed from the training rows by their number in the file.
Position and number differ once rows are set aside: most validation images stay in the training
split, and as many others are lost. Lateral images are left out at the end.

Source: stanfordmlgroup.github.io/competitions/chexpert, arXiv 1901.07031; the split from the MGCA
scripts, github.com/HKU-MedAI/MGCA (preprocess/chexpert.py, constants.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.config.run import Protocol
from training.data.pretraining_sets.chexpert import LABELS, SOURCE, CheXpert, row_of
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import patients_for

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""Labels of the competition."""
_VALID, _ASIDE = 5_000, 200
_SMALLEST = 4
"""In a small copy of the data set, at most one row in this many is held out."""
_NO_FINDING = "No Finding"
_VALUES = frozenset({"", "1.0", "0.0", "-1.0", "1", "0", "-1"})


class CheXpertCompetition:
    """Reader of CheXpert with the five labels of its competition."""

    name = "chexpert_competition"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/chexpert`, or in `root`.

        Raises:
            MissingData: a table or a folder of images is missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, CheXpert.name), protocol
        parts = (("train.csv",), ("valid.csv",), ("train/",), ("valid/",))
        dataset_files.require(self.folder, parts, SOURCE)
        self.tables = {
            s: dataset_files.table(self.folder, f"{s}.csv", SOURCE) for s in ("train", "valid")
        }

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image of a split, training and validation first."""
        yield from self._published() if self.protocol == "mgca" else self._sound()
        for row in self._lines("valid"):
            yield replace(row, split="test")

    def _lines(self, table: str) -> Iterator[Row]:
        needed = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
        for line in dataset_files.records(self.tables[table], needed):
            known = all(line[label] in _VALUES for label in COMPETITION)
            row = row_of(self.name, line, "train")
            yield row if known else replace(row, left_out="malformed label")

    def _sound(self) -> Iterator[Row]:
        """Yield the rows of train.csv, with whole patients held out and no patient of the test."""
        patients = [row.patient_id for row in self._lines("train") if not row.is_lateral]
        chosen = patients_for(patients, min(_VALID, len(patients) // _SMALLEST))
        tested = {row.patient_id for row in self._lines("valid")}
        for row in self._lines("train"):
            split = "valid" if row.patient_id in chosen else "train"
            reason = "patient of the test split" if row.patient_id in tested else ""
            yield replace(row, split=split, left_out=row.left_out or reason)

    def _published(self) -> Iterator[Row]:
        """Yield the rows of train.csv in the published split; an image may occur twice."""
        aside, train, valid = self._published_split()
        for number, row in enumerate(self._lines("train")):
            if number in train:
                yield row
            if number in valid:
                yield replace(row, split="valid")
            if number in aside:
                yield replace(row, split="", left_out="of CheXpert 5x200")
            elif number not in train and number not in valid:
                yield replace(row, split="", left_out="lost by the published script")

    def _published_split(self) -> tuple[set[int], set[int], set[int]]:
        """Return the row numbers set aside, of the training split, and of the validation split."""
        alone = [_only_finding(row) for row in self._lines("train")]
        aside: set[int] = set()
        for label in COMPETITION:
            found = [number for number, only in enumerate(alone) if only == label]
            count = min(_ASIDE, len(found) // _SMALLEST if len(found) < _ASIDE else _ASIDE)
            drawn = np.random.RandomState(0).choice(len(found), count, replace=False)
            aside |= {found[position] for position in drawn}
        left = [number for number in range(len(alone)) if number not in aside]
        count = min(_VALID, len(left) // _SMALLEST)
        drawn = np.random.RandomState(0).choice(len(left), count, replace=False)
        positions = {int(position) for position in drawn}
        return aside, set(left) - positions, {left[position] for position in positions}

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digests of the tables."""
        return b"".join(dataset_files.digest(path) for path in self.tables.values())


def _only_finding(row: Row) -> str:
    """Return the label that is present while no other is present or uncertain, or ""."""
    present = [label for label in row.labels if label != _NO_FINDING]
    uncertain = [label for label in row.uncertain if label != _NO_FINDING]
    return present[0] if len(present) == 1 and not uncertain else ""
