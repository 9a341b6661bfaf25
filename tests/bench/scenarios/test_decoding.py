from pathlib import Path

import pytest

from bench.scenarios import decoding
from tests.builders.files import sample_files


def test_both_versions_are_measured_in_units_of_a_look_up(tmp_path: Path) -> None:
    file = tmp_path / "chest.dcm"
    file.write_bytes(sample_files.dicom_file(sample_files.bright_rectangle(90, 70, (9, 9, 30, 40))))
    (check,), figures = decoding.measure(file, 3)
    found = figures["decoding"]
    assert found["megapixels"] == pytest.approx(0.0063)
    assert list(found["rows"]) == ["version 1", "version 2"]
    for read, preprocess, both, ratio in found["rows"].values():
        assert 0 < max(read, preprocess) <= both
        assert ratio == pytest.approx(both / found["look_up_ms"])
    assert check.name.startswith("decode + preprocess")
