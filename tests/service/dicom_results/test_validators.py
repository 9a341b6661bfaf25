"""Validators that others wrote accept every object of every kind of source.

Acceptance: reports without an error (monai-deploy-app-sdk#578), segmentations of sources without a
frame of reference that others can read (highdicom#159, highdicom#183).
"""

import itertools
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from tests.builders.files.dicom_files import lut
from tests.builders.service.results.dicom_results import (
    ORIENTATIONS,
    SOP_CLASSES,
    objects,
    run,
    source,
)

pytest.importorskip("highdicom")

SEGMENTATIONS = (ObjectKind.SEG, ObjectKind.HEATMAP)
REPORTS = (ObjectKind.SR_BOXES, ObjectKind.SR_FINDINGS)
PIXELMED = Path("/usr/share/java/pixelmed.jar")


UNUSUAL: dict[str, dict[str, object]] = {
    "poor": dict.fromkeys(
        (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "StudyTime",
            "StudyID",
            "AccessionNumber",
            "PatientOrientation",
            "ImagerPixelSpacing",
            "ViewPosition",
            "BodyPartExamined",
        )
    ),
    "japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "TimezoneOffsetFromUTC": "-0400",
        "PatientAge": "062Y",
        "PatientSize": "1.7",
        "PatientWeight": "70.5",
    },
    "lateral": {"ViewPosition": "LL", "PatientOrientation": ["A", "F"]},
}


@dataclass(frozen=True)
class Written:
    """One object on disk."""

    kind: ObjectKind
    path: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Written]:
    """Every object of CR, DX and SC, in four orientations, MONOCHROME1 and 2."""
    folder = tmp_path_factory.mktemp("objects")
    found = []
    matrix = itertools.product(SOP_CLASSES, ORIENTATIONS, ("MONOCHROME1", "MONOCHROME2"))
    for sop_class, orientation, photometric in matrix:
        data = source(
            SOPClassUID=SOP_CLASSES[sop_class],
            Modality="DX" if sop_class == "DX" else "CR",
            PatientOrientation=ORIENTATIONS[orientation],
            PhotometricInterpretation=photometric,
        )
        for item in objects(data).values():
            path = folder / f"{sop_class}-{orientation}-{photometric}-{item.kind}.dcm"
            path.write_bytes(item.data)
            found.append(Written(item.kind, path))
    return found


def paths(written: list[Written], *kinds: ObjectKind) -> list[Path]:
    return [item.path for item in written if item.kind in kinds]


def tool(name: str) -> str:
    """Return a tool of Debian's dcmtk; packages of Python install others of the same names."""
    path = Path("/usr/bin") / name
    if not path.exists():
        pytest.skip(f"{name} is not installed (Debian package `dcmtk`)")
    return str(path)


def script(name: str) -> str:
    """Return a tool of a package of this environment."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} is not installed")
    return str(path)


def test_dciodvfy_finds_no_error(written: list[Written]) -> None:
    command = script("dciodvfy")
    assert len(written) == 144
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda item: run(command, "-new", item.path), written))
    errors = {
        f"{item.path.stem}: {line}"
        for item, output in zip(written, outputs, strict=True)
        for line in output.splitlines()
        if line.startswith("Error")
    }
    assert errors == set()


def test_dcmpschk_accepts_presentation_states(written: list[Written]) -> None:
    output = run(tool("dcmpschk"), *paths(written, ObjectKind.GSPS))
    assert output.count("Test passed") == 24
    assert "E: " not in output


def test_dsrdump_reads_reports(written: list[Written]) -> None:
    output = run(tool("dsrdump"), *paths(written, *REPORTS))
    assert output.count('"Imaging Measurement Report"') == 48
    assert "E: " not in output


def test_tid1500reader_reads_every_group(written: list[Written], tmp_path: Path) -> None:
    command = script("tid1500reader")
    for path in paths(written, *REPORTS)[::4]:
        target = tmp_path / f"{path.stem}.json"
        run(command, "--inputDICOM", path, "--outputMetadata", target)
        assert len(json.loads(target.read_text())["Measurements"]) == 2


def test_segimage2itkimage_reads_every_segment(written: list[Written], tmp_path: Path) -> None:
    command = script("segimage2itkimage")
    for path in paths(written, *SEGMENTATIONS):
        target = tmp_path / path.stem
        target.mkdir()
        run(command, "--inputDICOM", path, "--outputDirectory", target)
        images = list(target.glob("*.nrrd"))
        assert len(images) == (1 if "heatmap" in path.stem else 2)


@pytest.mark.parametrize("kind", [*REPORTS, ObjectKind.SEG])
def test_options_give_valid_objects(kind: ObjectKind, tmp_path: Path) -> None:
    options = DicomResultOptions("LABELMAP", "COMPREHENSIVE", "utf-8", preliminary=False)
    path = tmp_path / "object.dcm"
    path.write_bytes(objects(source(), (kind,), options)[kind].data)
    lines = run(script("dciodvfy"), "-new", path).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


def test_a_presentation_state_with_tables_is_valid(tmp_path: Path) -> None:
    entries = np.arange(0, 4096, 8, dtype=np.uint16)
    data = source(VOILUTSequence=lut(entries, 0, 12), ModalityLUTSequence=lut(entries, 5, 12))
    path = tmp_path / "object.dcm"
    path.write_bytes(objects(data, (ObjectKind.GSPS,))[ObjectKind.GSPS].data)
    lines = run(script("dciodvfy"), "-new", path).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


@pytest.mark.parametrize("kind", ObjectKind)
@pytest.mark.parametrize("source_of", ["poor", "japanese", "lateral"])
def test_objects_of_unusual_sources_are_valid(
    kind: ObjectKind, source_of: str, tmp_path: Path
) -> None:
    path = tmp_path / "object.dcm"
    path.write_bytes(objects(source(**UNUSUAL[source_of]), (kind,))[kind].data)
    lines = run(script("dciodvfy"), "-new", path).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


def test_a_report_without_boxes_is_valid(tmp_path: Path) -> None:
    kind = ObjectKind.SR_BOXES
    path = tmp_path / "object.dcm"
    path.write_bytes(objects(source(), (kind,), detections=(), groundings=None)[kind].data)
    lines = run(script("dciodvfy"), "-new", path).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []
    assert "E: " not in run(tool("dsrdump"), path)


def test_pixelmed_finds_the_templates_fulfilled(written: list[Written]) -> None:
    java = shutil.which("java")
    if java is None or not PIXELMED.exists():
        pytest.skip("Pixelmed is not installed (Debian package `pixelmed-apps`)")
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprGrp", "ExprOp", "TotalOp")]
    validator = "com.pixelmed.validate.DicomSRValidator"
    path = paths(written, ObjectKind.SR_BOXES)[0]
    output = run(java, *limits, "-cp", "/usr/share/java/*", validator, path)
    assert "Root Template Validation Complete" in output
    assert [line for line in output.splitlines() if line.startswith("Error")] == []
