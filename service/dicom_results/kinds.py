"""Kinds of DICOM objects that a result can be written as, and their selection by clients.

    seg       Segmentation of the masks
    sr        reports: one of boxes and one of findings, whichever the result has
    gsps      Grayscale Softcopy Presentation State that draws the boxes
    sc        Secondary Capture of the overlay
    heatmap   fractional Segmentation of the heat maps of phrases

Two kinds of reports are written, because viewers do not show boxes of a report that also has
measurements of the whole image.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from radiograph.manifest import Task

MEDIA_TYPE = "application/dicom"
EXTRA = "dicom-results"
MANUFACTURER = "G2D radiograph service"
"""Manufacturer (0008,0070) of every object, by which our results are told from radiographs."""


class ObjectKind(StrEnum):
    """One kind of DICOM object, in the order in which they are written."""

    SEG = "seg"
    SR_BOXES = "sr_boxes"
    SR_FINDINGS = "sr_findings"
    HEATMAP = "heatmap"
    GSPS = "gsps"
    SC = "sc"


SELECTABLE: dict[str, tuple[ObjectKind, ...]] = {
    "seg": (ObjectKind.SEG,),
    "sr": (ObjectKind.SR_BOXES, ObjectKind.SR_FINDINGS),
    "gsps": (ObjectKind.GSPS,),
    "sc": (ObjectKind.SC,),
    "heatmap": (ObjectKind.HEATMAP,),
}
"""Kinds by the name under which a client selects them."""

_TASKS: dict[ObjectKind, frozenset[Task]] = {
    ObjectKind.SEG: frozenset({Task.SEGMENT}),
    ObjectKind.SR_BOXES: frozenset({Task.DETECT, Task.GROUND}),
    ObjectKind.SR_FINDINGS: frozenset({Task.CLASSIFY}),
    ObjectKind.HEATMAP: frozenset({Task.GROUND}),
    ObjectKind.GSPS: frozenset({Task.DETECT, Task.GROUND}),
    ObjectKind.SC: frozenset(Task),
}

_MAIN: dict[Task, ObjectKind] = {
    Task.SEGMENT: ObjectKind.SEG,
    Task.DETECT: ObjectKind.SR_BOXES,
    Task.CLASSIFY: ObjectKind.SR_FINDINGS,
    Task.GROUND: ObjectKind.HEATMAP,
}
"""Main object of each task; of several tasks, that of the first in this order."""


@dataclass(frozen=True)
class EncodedObject:
    """One DICOM object as a file.

    Attributes:
        kind: kind of the object.
        sop_class_uid: SOP Class UID (0008,0016).
        sop_instance_uid: SOP Instance UID (0008,0018).
        transfer_syntax_uid: Transfer Syntax UID (0002,0010).
        data: the file (PS3.10).
    """

    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes = field(repr=False)


@cache
def is_installed() -> bool:
    """Return whether the extra `dicom-results` is installed."""
    return importlib.util.find_spec("highdicom") is not None


def selected(names: Iterable[str], tasks: Iterable[Task]) -> tuple[ObjectKind, ...]:
    """Return the kinds of objects to write, in their order.

    Args:
        names: keys of `SELECTABLE`; none selects every kind.
        tasks: tasks that are answered; kinds that none of them has are left out.
    """
    wanted = {kind for name in names or SELECTABLE for kind in SELECTABLE[name]}
    answered = frozenset(tasks)
    return tuple(kind for kind in ObjectKind if kind in wanted and _TASKS[kind] & answered)


def main(tasks: Iterable[Task]) -> tuple[ObjectKind, ...]:
    """Return the main object of the answer to at least one task, as a selection of one."""
    answered = frozenset(tasks)
    return tuple(kind for task, kind in _MAIN.items() if task in answered)[:1]
