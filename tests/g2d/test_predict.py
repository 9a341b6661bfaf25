"""`g2d predict`: one file is analysed in this process; failures are one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from g2d.cli import app
from tests.builders.files import sample_files
from tests.builders.models import tiny_version

RECTANGLE = (20, 40, 60, 80)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chest.dcm"
    pixels = sample_files.bright_rectangle(160, 120, RECTANGLE)
    path.write_bytes(sample_files.dicom_file(pixels))
    return path


def g2d(models: Path, *arguments: str) -> Any:
    environment = {"G2D_MODELS_DIR": str(models), "G2D_DEFAULT_MODEL": "tiny", "G2D_THREADS": "1"}
    return CliRunner().invoke(app, list(arguments), env=environment)


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


@pytest.mark.parametrize(("name", "form"), [("o.jpg", "JPEG"), ("o.webp", "WEBP"), ("o", "PNG")])
def test_the_suffix_of_the_overlay_chooses_its_format(
    tiny_models: Path, file: Path, tmp_path: Path, name: str, form: str
) -> None:
    out = tmp_path / name
    options = ("--out", str(out), "--overlay-side-px", "64")
    assert g2d(tiny_models, "predict", str(file), *options).exit_code == 0
    with Image.open(out) as picture:
        assert (picture.format, max(picture.size)) == (form, 64)


def test_predict_writes_an_overlay(tiny_models: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "overlay.png"
    result = g2d(tiny_models, "predict", str(file), "--task", "segment", "--out", str(out))
    assert result.exit_code == 0, result.output
    with Image.open(out) as picture:
        assert picture.size == (120, 160)


def test_predict_takes_a_version_that_no_alias_points_to(tmp_path: Path, file: Path) -> None:
    for _ in range(2):
        tiny_version.publish(tmp_path / "models", alias=None)
    result = g2d(tmp_path / "models", "predict", str(file), "--version", "2")
    assert json.loads(result.stdout)["model"]["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--phrase", "\x1b[0m"], "a phrase holds a control character"),
        (["--version", "9"], "no version 9"),
        (["--model", "other"], "no model"),
        (["--task", "ground"], "`phrase` is missing"),
    ],
)
def test_a_failure_of_predict_is_one_line(
    tiny_models: Path, file: Path, arguments: list[str], reason: str
) -> None:
    result = g2d(tiny_models, "predict", str(file), *arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_a_radiograph_is_named_as_such(
    tiny_models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    result = g2d(tiny_models, "predict", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a file is one of application/dicom" in result.stderr
