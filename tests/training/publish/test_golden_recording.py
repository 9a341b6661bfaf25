"""Publishing records the answers of a version from the pixels of a radiograph."""

from pathlib import Path

import numpy as np

from tests.builders.models.versions import tiny_answers, tiny_version
from training.publish.golden_recording import record_answers


def test_the_recorded_answers_are_those_of_the_graphs(tmp_path: Path) -> None:
    tiny_version.write_files(tmp_path)
    name = record_answers(tmp_path, tiny_version.HEADS, tiny_version.PREPROCESS)
    expected = tiny_answers.golden_answers(tmp_path)
    with np.load(tmp_path / name, allow_pickle=False) as archive:
        recorded = dict(archive)
    assert recorded.keys() == expected.keys()
    assert {"findings.probabilities", "anatomy.masks", "boxes.boxes", "regions.heatmaps"} <= set(
        recorded
    )
    for part, values in expected.items():
        np.testing.assert_array_equal(recorded[part], values)


def test_a_version_without_text_has_no_phrases(tmp_path: Path) -> None:
    tiny_version.write_files(tmp_path)
    (tmp_path / "text.onnx").unlink()
    heads = {name: tiny_version.HEADS[name] for name in ("findings", "anatomy")}
    name = record_answers(tmp_path, heads, tiny_version.PREPROCESS)
    with np.load(tmp_path / name, allow_pickle=False) as archive:
        parts = {part for part in archive.files if "." in part}
    assert parts == {"findings.probabilities", "findings.thresholds", "anatomy.masks"}
