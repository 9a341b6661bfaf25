from pathlib import Path

from bench.inputs import prepare
from radiograph.readers.read import read


def test_synthetic_inputs_are_distinct_radiographs(tmp_path: Path) -> None:
    inputs = prepare(tmp_path, [])
    assert len({path.read_bytes() for path in inputs.small}) == len(inputs.small)
    assert read(inputs.small[0].read_bytes()).rows == 512
    assert read(inputs.dicom.read_bytes()).rows == 2500
