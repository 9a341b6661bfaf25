"""`g2d.load` and the model that it gives: known answers of the tiny version, typed."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import g2d
from g2d.errors import InputError, ModelNotFound, UnusablePhrase
from g2d.sources import Source
from g2d.tasks import HeatmapForm
from tests.builders.models.versions import tiny_version

RECTANGLE = (20.0, 40.0, 60.0, 80.0)


@pytest.fixture(scope="module")
def model(tiny_models: Path) -> Iterator[g2d.Model]:
    with g2d.load(tiny_models, threads=1) as loaded:
        yield loaded


def test_a_mask_has_the_known_pixels(model: g2d.Model, rectangle_dicom: bytes) -> None:
    result = model.segment(rectangle_dicom)
    mask = result.mask("Left lung")
    assert mask.array.dtype == np.bool_
    assert mask.array.shape == (160, 120)
    inside = mask.array[40:80, 20:60]
    assert inside.sum() == mask.array.sum() == mask.area_px == 1560  # without its corners
    assert inside[10:30].all()
    assert inside[:, 10:30].all()
    assert mask.box == RECTANGLE
    assert result.findings == ()


def test_a_phrase_is_located(model: g2d.Model, rectangle_dicom: bytes) -> None:
    (phrase,) = model.ground(rectangle_dicom, "bright", heatmap="float").phrases
    assert phrase.box == RECTANGLE
    heatmap = phrase.heatmap.array
    assert heatmap is not None
    assert heatmap.shape == (phrase.heatmap.rows, phrase.heatmap.columns)
    assert heatmap.dtype == np.float32
    assert float(heatmap.max()) == pytest.approx(phrase.boxes[0].score, abs=1e-4)


def test_each_result_says_how_far_it_holds(model: g2d.Model, rectangle_dicom: bytes) -> None:
    plain = model.analyze(rectangle_dicom, phrases="bright")
    sure = model.analyze(rectangle_dicom, phrases="bright", uncertainty=True)
    found = [each.uncertainty for each in sure.findings]
    found += [each.uncertainty for each in sure.masks]
    found += [each.uncertainty for each in sure.boxes]
    found += [each.uncertainty for each in sure.phrases]
    assert len(found) >= 6
    for uncertainty in found:
        assert uncertainty is not None
        assert uncertainty.views == 7
        assert 0 <= uncertainty.agreement <= 1
    assert all(each.uncertainty is None for each in plain.findings)
    assert [each.probability for each in sure.findings] == [
        each.probability for each in plain.findings
    ]


def test_heat_maps_in_png_are_those_in_numbers(model: g2d.Model, rectangle_dicom: bytes) -> None:
    forms: tuple[HeatmapForm, ...] = ("float", "png")
    numbers, picture = (
        model.ground(rectangle_dicom, ["bright"], heatmap=form).phrases[0].heatmap.array
        for form in forms
    )
    assert numbers is not None
    assert picture is not None
    np.testing.assert_allclose(picture, numbers, atol=0.5 / 255 + 1e-5)


def test_all_tasks_are_answered_at_once(model: g2d.Model, rectangle_dicom: bytes) -> None:
    result = model.analyze(rectangle_dicom, phrases="bright")
    assert model.tasks == ("classify", "segment", "detect", "ground")
    assert all((result.findings, result.masks, result.boxes, result.phrases))
    assert result.model == model.version
    some = model.analyze(rectangle_dicom, ["detect"])
    assert (some.findings, some.boxes) == ((), result.boxes)


def test_paths_bytes_and_open_files_are_the_same_radiograph(
    model: g2d.Model, rectangle_dicom: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "chest.dcm"
    path.write_bytes(rectangle_dicom)
    sources: list[Source] = [path, str(path), rectangle_dicom, io.BytesIO(rectangle_dicom)]
    results = list(model.classify(sources, progress=False))
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert len({result.request_id for result in results}) == 4


def test_many_are_answered_one_after_the_other(model: g2d.Model, rectangle_dicom: bytes) -> None:
    taken: list[int] = []

    def sources() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield rectangle_dicom

    results = model.detect(sources())
    assert taken == []
    assert next(results).boxes
    assert taken == [0]


def test_a_file_at_fault_is_named(model: g2d.Model, tmp_path: Path) -> None:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError) as caught:
        model.classify(path)
    assert caught.value.__notes__ == [f"file: {path}"]


def test_hostile_calls_are_refused(model: g2d.Model, tmp_path: Path) -> None:
    with pytest.raises(UnusablePhrase):
        model.ground(b"", "a\x1b[0m")
    with pytest.raises(InputError, match="empty"):
        model.classify(b"")
    number: Any = 3
    text: Any = io.StringIO("text")
    with pytest.raises(TypeError, match="not int"):
        model.classify(number)
    with pytest.raises(TypeError, match="reading bytes"):
        model.classify(text)
    with pytest.raises(FileNotFoundError):
        model.classify(tmp_path / "missing.dcm")


def test_no_more_of_a_file_is_read_than_is_allowed(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_MAX_BODY_BYTES", "1024")
    file = io.BytesIO(bytes(100_000))
    with g2d.load(tiny_models) as model, pytest.raises(InputError, match="more than 1024 bytes"):
        model.classify(file)
    assert file.tell() == 1025


def test_a_version_is_found_by_folder_and_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_MODELS_DIR", str(root))
    name = tiny_version.NAME
    places: list[tuple[str | Path, str | int | None]]
    places = [(root / name / "2", None), (root / name, 2), (root, "2"), (f"{name}/2", None)]
    for place, version in places:
        with g2d.load(place, version) as model:
            assert (model.version.name, model.version.version) == (name, 2)
    with g2d.load(name) as model:
        assert repr(model) == f"<g2d.Model {name}/1>"


@pytest.mark.parametrize("source", ["nobody", "tiny/9", "tiny/nobody", "/no/such/folder"])
def test_a_model_that_does_not_exist_is_refused(
    source: str, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_MODELS_DIR", str(tiny_models))
    with pytest.raises(ModelNotFound):
        g2d.load(source)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=f"no model in {tmp_path}"):
        g2d.load(tmp_path)


def test_a_task_that_does_not_exist_is_refused(model: g2d.Model) -> None:
    tasks: Any = ["dance"]
    with pytest.raises(ValueError, match="no task 'dance'; tasks are classify, segment"):
        model.analyze(b"", tasks)


def test_a_progress_bar_is_shown_on_demand(
    model: g2d.Model, rectangle_dicom: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    list(model.classify([rectangle_dicom]))
    assert capsys.readouterr().err == ""  # no terminal
    list(model.classify([rectangle_dicom] * 2, progress=True))
    assert "2/2" in capsys.readouterr().err
