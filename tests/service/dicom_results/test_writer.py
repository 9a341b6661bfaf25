"""The writer: what a result has objects for, names without sides, and warming up."""

import pytest

from radiograph.manifest import Task
from radiograph.postprocess.heads import Detection
from radiograph.terminology.codes import CODES, Code
from service.dicom_results import source as source_header
from service.dicom_results import writer
from service.dicom_results.kinds import ObjectKind
from service.dicom_results.objects.codes import concept_of
from service.dicom_results.options import DicomResultOptions
from service.errors import NoDicomObject
from tests.builders.service.results.dicom_results import BOX, known_result, objects, one, source

pytest.importorskip("highdicom")


def test_only_objects_that_the_result_has_something_for_are_written() -> None:
    made = objects(source(), masks=None, groundings=None, preview=None)
    assert list(made) == [ObjectKind.SR_BOXES, ObjectKind.SR_FINDINGS, ObjectKind.GSPS]


def test_a_result_without_anything_to_write_is_refused() -> None:
    with pytest.raises(NoDicomObject):
        objects(source(), (ObjectKind.SEG, ObjectKind.HEATMAP), masks=(), groundings=None)


def test_the_answered_tasks_are_those_of_the_result() -> None:
    result = known_result(source(), masks=None, findings=())
    assert writer.tasks_of(result) == (Task.CLASSIFY, Task.DETECT, Task.GROUND)
    assert writer.first(result, (ObjectKind.SEG, ObjectKind.GSPS)) == (ObjectKind.GSPS,)


def test_names_and_codes_of_an_unknown_side_state_none() -> None:
    clavicle = Code(scheme="SCT", value="1", meaning="Left clavicle structure")
    detections = (
        Detection("Right_lung", CODES["Right lung"], 0.5, BOX),
        Detection("Left clavicle", clavicle, 0.5, BOX),
        Detection("Left", None, 0.5, BOX),
    )
    made = one(ObjectKind.GSPS, source(ViewPosition="LL"), detections=detections, groundings=None)
    texts = [
        item.TextObjectSequence[0].UnformattedTextValue for item in made.GraphicAnnotationSequence
    ]
    assert texts == ["Lung 50%", "Clavicle 50%", "Side 50%"]


def test_a_private_code_follows_from_the_name() -> None:
    one_name, again, other = (concept_of(name, None).code for name in ("a", "a", "b"))
    assert one_name == again
    assert one_name.value != other.value
    assert one_name.scheme_designator == "99G2D"
    assert len(concept_of("n" * 100, None).code.meaning) == 64


def test_warming_up_writes_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[ObjectKind] = []
    write = writer.write

    def record(*arguments: object) -> object:
        made = write(*arguments)  # type: ignore[arg-type]
        written.extend(item.kind for item in made)
        return made

    monkeypatch.setattr(writer, "write", record)
    writer.warm_up.cache_clear()
    writer.warm_up()
    writer.warm_up()
    assert written == list(ObjectKind)


def test_a_header_can_be_read_once_for_several_writes() -> None:
    data = source()
    header, result = source_header.read(data), known_result(data)
    made = writer.write(result, header, (ObjectKind.SEG,), DicomResultOptions())
    assert made[0].data == objects(data)[ObjectKind.SEG].data
