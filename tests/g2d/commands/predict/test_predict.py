"""`g2d predict`: radiographs are analysed in this process; failures are one line each."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from g2d.cli import app
from g2d.commands.predict import inputs, outputs, predict
from g2d.loading import open_version
from service.dicom_results import kinds
from service.registry.loading.loader import OpenVersion
from service.settings import Settings
from tests.builders.files import sample_files
from tests.builders.g2d.command_line import failed
from tests.builders.models.versions import tiny_version
from tests.builders.service.results.dicom_results import SERIES, STUDY

ROOT = Path(__file__).parents[4]
RECTANGLE = (20, 40, 60, 80)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chest.dcm"
    pixels = sample_files.bright_rectangle(160, 120, RECTANGLE)
    path.write_bytes(sample_files.dicom_file(pixels))
    return path


def g2d(models: Path, *arguments: str, stdin: bytes | None = None) -> Result:
    environment = {"G2D_MODELS_DIR": str(models), "G2D_DEFAULT_MODEL": "tiny", "G2D_THREADS": "1"}
    return CliRunner().invoke(app, list(arguments), env=environment, input=stdin)


def test_predict_prints_the_answer_of_the_service(tiny_models: Path, file: Path) -> None:
    result = g2d(tiny_models, "predict", str(file), "--phrase", "bright")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {"findings", "masks", "boxes", "phrases"} < set(answer)
    assert answer["phrases"][0]["box"] == list(RECTANGLE)
    assert answer["phrases"][0]["heatmap"]["data"] is None


def test_predict_answers_the_tasks_that_were_named(tiny_models: Path, file: Path) -> None:
    result = g2d(tiny_models, "predict", str(file), "--task", "segment", "--task", "classify")
    assert {"findings", "masks", "boxes"} & set(json.loads(result.stdout)) == {"findings", "masks"}


def test_predict_says_how_far_results_hold(tiny_models: Path, file: Path) -> None:
    result = g2d(tiny_models, "predict", str(file), "--task", "segment", "--uncertainty")
    assert [mask["uncertainty"]["views"] for mask in json.loads(result.stdout)["masks"]] == [7, 7]


def in_a_study(folder: Path) -> Path:
    """Return a radiograph with the UIDs that DICOM objects refer to."""
    path = folder / "study.dcm"
    pixels = sample_files.bright_rectangle(160, 120, RECTANGLE)
    uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    path.write_bytes(sample_files.dicom_file(pixels, **uids))
    return path


def test_predict_writes_dicom_objects(tiny_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = tmp_path / "made" / "objects"
    options = ("--task", "segment", "--task", "classify", "--dicom-out", str(folder))
    result = g2d(tiny_models, "predict", str(in_a_study(tmp_path)), *options)
    assert result.exit_code == 0, result.output
    made = {path.name: pydicom.dcmread(path) for path in folder.iterdir()}
    expected = {f"study.dcm.{kind}.dcm" for kind in ("seg", "sr_findings", "sc")}
    assert set(made) == expected
    assert {item.StudyInstanceUID for item in made.values()} == {STUDY}
    assert len(json.loads(result.stdout)["masks"]) == made["study.dcm.seg.dcm"].NumberOfFrames


def test_a_radiograph_without_a_study_is_answered_without_dicom_objects(
    tiny_models: Path, file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    folder = tmp_path / "objects"
    result = g2d(tiny_models, "predict", str(file), "--dicom-out", str(folder))
    assert result.exit_code == 3
    assert "names no study" in result.stderr
    assert json.loads(result.stdout)["masks"]
    assert list(folder.iterdir()) == []


def test_dicom_objects_without_the_extra_are_refused(
    tiny_models: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "is_installed", lambda: False)
    result = g2d(tiny_models, "predict", str(file), "--dicom-out", str(tmp_path / "objects"))
    assert result.exit_code == 2
    assert "extra `dicom-results`" in result.stderr


@pytest.mark.parametrize(
    ("name", "form"), [("o.jpg", "JPEG"), ("o.webp", "WEBP"), ("o.PNG", "PNG")]
)
def test_the_suffix_of_the_overlay_chooses_its_format(
    tiny_models: Path, file: Path, tmp_path: Path, name: str, form: str
) -> None:
    out = tmp_path / name
    options = ("--out", str(out), "--overlay-side-px", "64")
    result = g2d(tiny_models, "predict", str(file), *options)
    assert json.loads(result.stdout)["file"] == str(file)
    with Image.open(out) as picture:
        assert (picture.format, max(picture.size)) == (form, 64)


def test_predict_takes_a_version_that_no_alias_points_to(tmp_path: Path, file: Path) -> None:
    for _ in range(2):
        tiny_version.publish(tmp_path / "models", alias=None)
    result = g2d(tmp_path / "models", "predict", str(file), "--version", "2")
    assert json.loads(result.stdout)["model"]["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        (["--phrase", "\x1b[0m"], "a phrase holds a control character", 2),
        (["--task", "ground"], "`phrase` is missing", 2),
        (["--version", "9"], "no version 9 in ", 4),
        (["--model", "other"], "no model 'other' in ", 4),
    ],
)
def test_a_failure_of_predict_is_one_line(
    tiny_models: Path, file: Path, arguments: list[str], reason: str, code: int
) -> None:
    failed(g2d(tiny_models, "predict", str(file), *arguments), reason, code)


def test_a_model_that_is_missing_names_the_folder(file: Path, tmp_path: Path) -> None:
    failed(g2d(tmp_path / "none", "predict", str(file)), f"'tiny' in {tmp_path}/none", 4)


def test_hardware_that_is_missing_has_the_code_of_the_service(
    tiny_models: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_PROVIDER", "cuda")
    failed(g2d(tiny_models, "predict", str(file)), "CUDA", 5)


def test_a_setting_that_is_invalid_is_usage(
    tiny_models: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_MAX_PHRASES", "many")
    failed(g2d(tiny_models, "predict", str(file)), "G2D_MAX_PHRASES", 2)


def test_a_file_that_is_not_a_radiograph_is_named_as_such(
    tiny_models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    result = g2d(tiny_models, "predict", str(path))
    failed(result, f"{path}: the file is PDF; DICOM, PNG and JPEG are read", 3)


def test_files_that_are_missing_are_reported_without_loading_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "open_version", lambda *_: pytest.fail("loaded"))
    failed(g2d(tmp_path, "predict", str(tmp_path / "no.dcm")), "no.dcm: No such file", 3)
    failed(g2d(tmp_path, "predict", str(tmp_path / "*.dcm")), "no file matches", 3)
    failed(g2d(tmp_path, "predict", str(tmp_path)), "holds no DICOM, PNG or JPEG file", 3)
    failed(g2d(tmp_path, "predict", "-", "-"), "standard input (-) can be read once", 2)


def test_the_others_are_answered_and_the_worst_code_is_returned(
    tiny_models: Path, file: Path, tmp_path: Path
) -> None:
    missing, letter = tmp_path / "no.dcm", tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    result = g2d(tiny_models, "predict", str(missing), str(letter), str(file), "--task", "detect")
    assert result.exit_code == 3
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == [str(file)]
    assert [line.split(": ")[2] for line in result.stderr.splitlines()] == [
        str(missing),
        str(letter),
    ]


def test_the_model_is_loaded_once_for_folders_files_patterns_and_stdin(
    tiny_models: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "scans"
    (scans / "inner").mkdir(parents=True)
    for name in ("b.dcm", "inner/a", ".hidden.dcm", "DICOMDIR"):
        (scans / name).write_bytes(file.read_bytes())
    (scans / "notes.txt").write_text("no radiograph")
    loads: list[str | None] = []

    def counted(settings: Settings, version: str | None) -> OpenVersion:
        loads.append(version)
        return open_version(settings, version)

    monkeypatch.setattr(predict, "open_version", counted)
    arguments = [str(scans), str(tmp_path / "*.dcm"), str(file), "-", "--task", "classify"]
    result = g2d(tiny_models, "predict", *arguments, stdin=file.read_bytes())
    assert result.exit_code == 0, result.stderr
    named = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert named == [str(scans / "b.dcm"), str(scans / "inner/a"), str(file), "-"]
    assert len(loads) == 1


def test_a_table_has_a_row_for_each_thing(tiny_models: Path, file: Path) -> None:
    result = g2d(
        tiny_models, "predict", str(file), str(file), "--format", "csv", "--phrase", "bright"
    )
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["task"] for row in rows} == {"classify", "segment", "detect", "ground"}
    assert {row["file"] for row in rows} == {str(file)}
    (left,) = [row for row in rows if row["name"] == "Left lung"]
    assert [float(left[edge]) for edge in ("x0", "y0", "x1", "y1")] == list(RECTANGLE)
    assert {row["positive"] for row in rows if row["task"] == "classify"} <= {"true", "false"}


@pytest.mark.parametrize("name", ["o.json", "o.jsonl", "o.csv"])
def test_a_file_takes_the_results_instead_of_standard_output(
    tiny_models: Path, file: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    out.write_text("old")
    result = g2d(tiny_models, "predict", str(file), "--task", "detect", "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, "")
    text = out.read_text()
    if name == "o.csv":
        assert text.startswith("file,model,version,warnings,task,name,probability,")
    else:
        assert json.loads(text)["boxes"]


def test_a_folder_takes_json_and_overlay_of_each_radiograph(
    tiny_models: Path, file: Path, tmp_path: Path
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "results.1"
    (scans / "inner").mkdir(parents=True)
    for name in ("a.dcm", "inner/a.dcm"):
        (scans / name).write_bytes(file.read_bytes())
    result = g2d(tiny_models, "predict", str(scans), "--out", f"{out}/")
    assert (result.exit_code, result.stdout) == (0, "")
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert found == ["a.dcm.json", "a.dcm.png", "inner/a.dcm.json", "inner/a.dcm.png"]


@pytest.mark.parametrize(
    ("out", "options", "reason"),
    [
        ("o.bmp", [], "a file has one of .png, .jpg, .jpeg, .webp, .json, .jsonl, .csv"),
        ("none/o.png", [], "No such file or directory"),
        ("chest.dcm/o.png", [], "Not a directory"),
        ("chest.dcm/", [], "File exists"),
        ("o.csv", ["--format", "json"], "whose suffix is its form"),
        ("o/", ["--format", "csv"], "does not go with a folder"),
        ("copy.png", ["copy.png"], "would overwrite a radiograph"),
        ("o.json", ["copy.png"], "holds one radiograph: give a folder, .jsonl or .csv"),
        ("o.jpg", ["copy.png"], "holds one radiograph"),
        ("o/", ["inner/chest.dcm"], "two radiographs would be written to"),
    ],
)
def test_a_place_that_cannot_take_the_results_is_refused_before_any_work(
    file: Path, tmp_path: Path, out: str, options: list[str], reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "open_version", lambda *_: pytest.fail("loaded"))
    Path("inner").mkdir()
    Path("inner/chest.dcm").write_bytes(b"a")
    Path("copy.png").write_bytes(b"b")
    before = sorted(Path().rglob("*"))
    first = [] if out == "copy.png" else ["chest.dcm"]
    failed(g2d(tmp_path, "predict", *first, *options, "--out", out), reason)
    assert sorted(Path().rglob("*")) == before
    assert Path("copy.png").read_bytes() == b"b"


def test_results_are_printed_if_their_file_cannot_be_written_after_all(
    tiny_models: Path, file: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, sys; from g2d.__main__ import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); main()"
    )
    environment = {**os.environ, "G2D_MODELS_DIR": str(tiny_models), "G2D_DEFAULT_MODEL": "tiny"}
    for name in ("full.json", "full.png", "full/"):
        command = ["predict", str(file), "--task", "detect", "--out", f"{tmp_path}/{name}"]
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert json.loads(done.stdout)["boxes"]
        assert "File too large" in done.stderr


def test_a_name_cannot_write_on_the_terminal(tiny_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\nb.dcm"
    path.write_bytes(b"no radiograph")
    result = g2d(tiny_models, "predict", str(path))
    failed(result, "a\\x1b[2J\\nb.dcm: ", 3)


def test_no_more_is_read_than_is_allowed(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_MAX_BODY_BYTES", "2048")
    failed(g2d(tiny_models, "predict", "/dev/zero"), "more than 2048 bytes", 3)
    failed(g2d(tiny_models, "predict", "-", stdin=bytes(9000)), "more than 2048 bytes", 3)


class Terminal(io.StringIO):
    """A stream that people read."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("printed", "number", "shown"), [(None, 3, True), ("json", 3, False), (None, 1, False)]
)
def test_a_terminal_without_results_shows_a_progress_bar(
    monkeypatch: pytest.MonkeyPatch, printed: outputs.Form | None, number: int, shown: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", errors := Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    items = [inputs.Input("a", None, "a")] * number
    with predict._progress(items, outputs.Output(printed)) as bar:
        assert list(bar) == items
    assert ("3/3" in errors.getvalue()) is shown
    assert shown or errors.getvalue().strip() == ""


def test_no_bar_is_written_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", errors := io.StringIO())
    items = [inputs.Input("a", None, "a")] * 3
    with predict._progress(items, outputs.Output(None)) as bar:
        assert list(bar) == items
    assert errors.getvalue() == ""
