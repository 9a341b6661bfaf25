"""NIH ChestX-ray14: 112,120 frontal radiographs with fourteen labels mined from their reports.

    <root>/cxr14/   or <root>/
        Data_Entry_2017_v2020.csv or Data_Entry_2017.csv   Image Index, Finding Labels
                       ("|"-separated), Patient ID, Patient Age, Patient Sex or Gender,
                       View Position, ...
        train_val_list.txt, test_list.txt   one image a line: the official split
        BBox_List_2017.csv                  Image Index, Finding Label, Bbox [x, y, w, h]; optional
        images_001/images/00000001_000.png ... images_012/images/, as unpacked; or all in images/

The test list and the list of the remaining images are official. The paper does not state which of
the latter it validates with. `sound` holds out a tenth of them as whole patients, `mgca` a tenth of
the images, `train_test_split(test_size=0.1, random_state=0)` in the order of the list, as the
published scripts do for other sets; a patient may then be in both splits. Only 984 findings have a
box, so a finding without one may still be anywhere. An image with a malformed box is left out.

Source: nihcc.app.box.com/v/ChestXray-NIHCC (README_CHESTXRAY.pdf), arXiv 1705.02315.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from radiograph.geometry.geometry import Box
from training.config.run import Protocol
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import hold_out, patients_for

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
TRAIN_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
BOXES = "BBox_List_2017.csv"
ARCHIVES = tuple(f"images_{number:03d}/" for number in range(1, 13))
LICENCE = "NIH Clinical Center: no restriction; cite arXiv 1705.02315"
_SOURCE = "NIH ChestX-ray14, nihcc.app.box.com/v/ChestXray-NIHCC (free to download)"
_VALID = 0.1
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
_NO_FINDING = "No Finding"


class Cxr14:
    """Reader of ChestX-ray14."""

    name = "cxr14"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/cxr14`, or in `root`.

        Raises:
            MissingData: a table, a list or images are missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        together = dataset_files.is_there(self.folder, "images/")
        images = (("images/",),) if together else tuple((name,) for name in ARCHIVES)
        dataset_files.require(self.folder, (TABLES, (TRAIN_LIST,), (TEST_LIST,), *images), _SOURCE)
        there = [name for name in TABLES if dataset_files.is_there(self.folder, name)]
        self.csv = dataset_files.table(self.folder, there[0], _SOURCE)
        self.lists = [dataset_files.table(self.folder, n, _SOURCE) for n in (TRAIN_LIST, TEST_LIST)]
        self.boxes = self.folder / BOXES

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the table."""
        needed = ("Image Index", "Finding Labels", "Patient ID", "View Position")
        lines = list(dataset_files.records(self.csv, needed))
        splits = self._splits({line["Image Index"]: line["Patient ID"] for line in lines})
        boxes = self._boxes()
        for line in lines:
            image = line["Image Index"]
            labels = tuple(filter(None, line["Finding Labels"].split("|")))
            image_boxes = boxes.get(image, [])
            yield Row(
                table=self.name,
                image=self._images.get(image, f"images/{image}"),
                patient_id=line["Patient ID"],
                split=splits.get(image, ""),
                text="",
                labels=labels,
                view=line["View Position"],
                sex=line.get("Patient Sex", "") or line.get("Patient Gender", ""),
                age=line.get("Patient Age", ""),
                licence=LICENCE,
                licence_class="open",
                boxes=tuple((label, box) for label, box in image_boxes if box),
                left_out=_reason(labels, splits.get(image, ""))
                or ("" if all(box for _, box in image_boxes) else "malformed box"),
            )

    def _splits(self, patients: dict[str, str]) -> dict[str, str]:
        """Return image -> split, or `several` if both lists name the image."""
        train, test = (list(dict.fromkeys(dataset_files.lines(path))) for path in self.lists)
        held = hold_out(len(train), round(_VALID * len(train)))[1]
        splits = dict.fromkeys(train, "train") | {train[index]: "valid" for index in held}
        if self.protocol == "sound":
            chosen = patients_for([patients.get(image, "") for image in train], len(held))
            splits = {i: "valid" if patients.get(i, "") in chosen else "train" for i in train}
        return splits | {image: "several" if image in splits else "test" for image in test}

    def _boxes(self) -> dict[str, list[tuple[str, Box | None]]]:
        """Return image -> label and box of each annotated finding; None for a malformed box."""
        found: dict[str, list[tuple[str, Box | None]]] = {}
        if not self.boxes.is_file():
            return found
        needed = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
        for line in dataset_files.records(self.boxes, needed):
            box = _box([line[key] for key in needed[2:]])
            found.setdefault(line["Image Index"], []).append((line["Finding Label"], box))
        return found

    @cached_property
    def _images(self) -> dict[str, str]:
        """Image -> path; the folders are listed once."""
        found: dict[str, str] = {}
        for place in ("images", *(f"{a}images" for a in ARCHIVES), *(a[:-1] for a in ARCHIVES)):
            if (self.folder / place).is_dir():
                for path in (self.folder / place).iterdir():
                    found.setdefault(path.name, f"{place}/{path.name}")
        return found

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digests of the tables and lists."""
        optional = [self.boxes] if self.boxes.is_file() else []
        return b"".join(dataset_files.digest(path) for path in (self.csv, *self.lists, *optional))


def _reason(labels: tuple[str, ...], split: str) -> str:
    if not labels or not set(labels) <= {*FINDINGS, _NO_FINDING}:
        return "unknown label"
    if split == "several":
        return "in both lists"
    return "" if split else "in neither list"


def _box(numbers: list[str]) -> Box | None:
    """Return the box of x, y, width and height in pixels, or None if they are malformed."""
    try:
        x, y, width, height = map(float, numbers)
    except ValueError:
        return None
    valid = all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0
    return (x, y, x + width, y + height) if valid and x + width > 0 and y + height > 0 else None
