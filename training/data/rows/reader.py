"""A row of a data set, and the interface of the readers that yield rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from radiograph.geometry.geometry import Box


@dataclass(frozen=True)
class Row:
    """One radiograph and its annotations.

    Attributes:
        table: name of the data set.
        image: path of the image inside the data set.
        patient_id: patient, unique within the data set.
        split: `train`, `valid`, `test`, or "" if the row is in none.
        text: report in the form that the text encoder reads, or "".
        labels: class labels, as the data set spells them.
        view: view position, as the data set spells it, or "".
        licence: licence of the image, in words.
        licence_class: `open` or `noncommercial`.
        masks: structure or finding -> paths of its masks, of which it is the union.
        lung_mask: path of one mask of both lungs, or None.
        boxes: (label, (x0, y0, x1, y1)) in stored pixels.
        answers: question-answer pairs about the image.
        uncertain: labels that the data set marks as neither present nor absent.
        extra: further facts that the data set gives, as text.
        left_out: reason why the data set excludes the row, or "".

    A reader spells labels, masks and boxes as the data set does. `training.data.tables.described`
    then gives masks and boxes the names of the description of the data set, and adds what
    follows from it:

    Attributes:
        findings: finding -> present or absent; findings that are not known are left out.
        normal: True without any finding, False with one; None if that is not known.
        nothing_else: True if the image shows nothing that another data set labels either.
        organs: those of the masks that occur once, so that the bounds of a mask are the box.
        complete_masks: names whose mask is known; one without a mask is not in the image.
        complete_boxes: names whose boxes are all known; one without a box is not in the image.
    """

    table: str
    image: str
    patient_id: str
    split: str
    text: str
    labels: tuple[str, ...]
    view: str
    sex: str
    age: str
    licence: str
    licence_class: str
    masks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lung_mask: str | None = None
    boxes: tuple[tuple[str, Box], ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    uncertain: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    left_out: str = ""
    findings: dict[str, bool] = field(default_factory=dict)
    normal: bool | None = None
    nothing_else: bool = False
    organs: tuple[str, ...] = ()
    complete_masks: tuple[str, ...] = ()
    complete_boxes: tuple[str, ...] = ()

    @property
    def is_lateral(self) -> bool:
        """True if the view is a lateral one."""
        return self.view.upper() in {"L", "LL", "RL", "LATERAL"}

    @property
    def reason_left_out(self) -> str:
        """Reason why no run uses the row, or "": that of the data set, or a lateral view."""
        return self.left_out or ("lateral view" if self.is_lateral else "")


class Reader(Protocol):
    """One data set on disk."""

    def rows(self) -> Iterable[Row]:
        """Yield every row in a fixed order, also those with a reason in `left_out`."""

    def read(self, path: str) -> bytes:
        """Return the bytes of an image or a mask of a row.

        Raises:
            OSError: the file cannot be read.
        """

    def fingerprint(self) -> bytes:
        """Return bytes that change when the data set does, in seconds for any size of set."""
