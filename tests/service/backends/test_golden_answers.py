"""Golden answers cover the steps around the graphs, which golden outputs do not."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiograph.errors import InvalidVersion
from radiograph.golden_answers import ANSWERS_NAME, golden_radiograph
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.registry.loading.loader import VersionLoader
from service.settings import LimitSettings, Settings
from tests.builders.models.faults import faulty_versions
from tests.builders.models.versions import tiny_answers, tiny_version

BACKENDS = backend_factory(Settings.of(threads=1))


def load(root: Path) -> None:
    VersionLoader(Repository(root), BACKENDS, LimitSettings()).load("tiny", 1).close()


def test_a_version_that_answers_as_it_was_published_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_answers.publish(tmp_path)
    with caplog.at_level(logging.INFO):
        load(tmp_path)
    assert "no golden answers" not in caplog.text


def test_a_version_without_golden_answers_is_loaded_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_version.publish(tmp_path)
    with caplog.at_level(logging.INFO):
        load(tmp_path)
    assert "tiny/1 has no golden answers" in caplog.text


def set_in(*place: str, value: object) -> Callable[[Any], None]:
    """Return an edit of one value of a manifest."""

    def edit(manifest: Any) -> None:
        for key in place[:-1]:
            manifest = manifest[int(key)] if isinstance(manifest, list) else manifest[key]
        manifest[place[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (set_in("preprocess", "mean", value=0.4), "findings.probabilities"),
        (set_in("preprocess", "std", value=0.4), "findings.probabilities"),
        (set_in("preprocess", "high_percentile", value=90), "findings.probabilities"),
        (
            set_in("heads", "findings", "labels", "0", "threshold", value=0.0),
            "findings.thresholds",
        ),
        (
            set_in("heads", "findings", "labels", "0", "subtype_of", value="No finding"),
            "findings.supertypes",
        ),
        (set_in("heads", "findings", "temperature", value=2), "findings.probabilities"),
        (set_in("heads", "anatomy", "labels", "1", "threshold", value=0.9), "anatomy.masks"),
        (
            set_in("heads", "anatomy", "labels", "1", "clean", value={"largest": 1}),
            "anatomy.masks",
        ),
        (set_in("heads", "boxes", "labels", "0", "threshold", value=0.9), "boxes"),
        (set_in("heads", "boxes", "temperature", value=3), "boxes.boxes"),
        (set_in("heads", "regions", "temperature", value=3), "regions"),
    ],
)
def test_an_edited_step_around_the_graphs_is_noticed(
    tmp_path: Path, edit: Callable[[Any], None], reason: str
) -> None:
    tiny_answers.publish(tmp_path)
    faulty_versions.edit_manifest(tmp_path, 1, edit)
    with pytest.raises(InvalidVersion, match=f"golden answers: `{reason}"):
        load(tmp_path)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.__delitem__(name)


def put(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.__setitem__(name, np.asarray(value))


def rewrite(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the golden answers of version 1, and their digest in its manifest."""
    folder = root / "tiny/1"
    with np.load(folder / ANSWERS_NAME) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(folder / ANSWERS_NAME, **arrays)
    digest = faulty_versions.digest_of(folder / ANSWERS_NAME)
    faulty_versions.edit_manifest(root, 1, set_in("files", ANSWERS_NAME, value=digest))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop("pixels"), "`pixels` is missing"),
        (put("pixels", np.zeros((4, 4))), "not rows x columns, uint16"),
        (put("pixels", np.zeros((0, 4), np.uint16)), "not rows x columns, uint16"),
        (drop("spacing_mm"), "`spacing_mm` is missing"),
        (put("spacing_mm", [1.0, -1.0]), "not two lengths"),
        (put("spacing_mm", [np.nan, 1.0]), "not two lengths"),
        (drop("boxes.boxes"), r"`boxes\.boxes` is missing"),
        (put("findings.supertypes", [1, -1]), r"`findings\.supertypes` is no answer of this"),
        (put("boxes.boxes", [[1.0, 2.0]]), r"`boxes\.boxes` differs"),
        (put("findings.probabilities", [0.5]), r"`findings\.probabilities` is \(2,\), not \(1,\)"),
        (put("findings.probabilities", [np.nan, 0.5]), r"`findings\.probabilities` differs"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    tiny_answers.publish(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(InvalidVersion, match=reason):
        load(tmp_path)


def test_the_golden_radiograph_is_always_the_same() -> None:
    one, other = golden_radiograph(), golden_radiograph()
    assert (one.pixels == other.pixels).all()
    assert one.pixels.shape == (288, 256)
    assert one.pixels[130, 77] < one.pixels[130, 128]  # a lung is darker than the spine


def test_recorded_subtypes_must_be_those_of_the_manifest(tmp_path: Path) -> None:
    subtype = set_in("heads", "findings", "labels", "0", "subtype_of", value="No finding")
    tiny_answers.publish(tmp_path)
    faulty_versions.edit_manifest(tmp_path, 1, subtype)
    rewrite(tmp_path, put("findings.supertypes", [1, -1]))
    load(tmp_path)
    rewrite(tmp_path, put("findings.supertypes", [-1, 0]))
    with pytest.raises(InvalidVersion, match=r"`findings\.supertypes` differs"):
        load(tmp_path)
