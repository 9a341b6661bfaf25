"""Selection of kinds by name and by task, and the multipart body of several objects."""

import pytest

from radiograph.manifest import Task
from service.dicom_results import multipart
from service.dicom_results.kinds import ObjectKind, main, selected

ALL = tuple(Task)


@pytest.mark.parametrize(
    ("names", "tasks", "expected"),
    [
        ((), ALL, list(ObjectKind)),
        ((), (Task.SEGMENT,), [ObjectKind.SEG, ObjectKind.SC]),
        (("sr",), ALL, [ObjectKind.SR_BOXES, ObjectKind.SR_FINDINGS]),
        (("sc", "seg"), ALL, [ObjectKind.SEG, ObjectKind.SC]),
        (("heatmap", "gsps"), (Task.GROUND,), [ObjectKind.HEATMAP, ObjectKind.GSPS]),
        (("gsps",), (Task.CLASSIFY,), []),
    ],
)
def test_kinds_are_selected_in_their_order(
    names: tuple[str, ...], tasks: tuple[Task, ...], expected: list[ObjectKind]
) -> None:
    assert list(selected(names, tasks)) == expected


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (ALL, ObjectKind.SEG),
        ((Task.CLASSIFY, Task.DETECT), ObjectKind.SR_BOXES),
        ((Task.CLASSIFY,), ObjectKind.SR_FINDINGS),
        ((Task.GROUND,), ObjectKind.HEATMAP),
    ],
)
def test_each_task_has_a_main_object(tasks: tuple[Task, ...], expected: ObjectKind) -> None:
    assert main(tasks) == (expected,)


def test_a_multipart_body_has_a_part_for_each_object() -> None:
    part = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    expected = part + b"DATA1\r\n" + part + b"DATA2\r\n--b--\r\n"
    assert multipart.join([b"DATA1", b"DATA2"], "b") == expected
    assert multipart.content_type("b") == (
        'multipart/related; type="application/dicom"; boundary=b'
    )
