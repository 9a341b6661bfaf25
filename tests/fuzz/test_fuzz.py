"""A few seconds of each harness; `make fuzz` runs them for as long as it is asked to."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.disturbances.mutated_files import ROWS, with_checksums
from radiograph.errors import MalformedInput
from tests.fuzz.corpus import corpus
from tests.fuzz.harnesses import HARNESSES, check_dicom
from tests.fuzz.mutations import hostile_dicoms, mutated

_FEW = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", HARNESSES)
def test_seeds_and_former_findings_hold(name: str) -> None:
    harness = HARNESSES[name]
    for data in (*harness.seeds(), *corpus(name)):
        harness.check(data)


@pytest.mark.parametrize("name", HARNESSES)
def test_mutated_seeds_hold(name: str) -> None:
    harness = HARNESSES[name]

    @_FEW
    @given(mutated(harness.seeds()))
    def holds(data: bytes) -> None:
        harness.check(data)

    holds()


@_FEW
@given(hostile_dicoms())
def test_files_with_hostile_values_hold(data: bytes) -> None:
    check_dicom(data)


@pytest.mark.parametrize("name", HARNESSES)
def test_bytes_that_are_no_file_hold(name: str) -> None:
    harness = HARNESSES[name]

    @_FEW
    @given(st.binary(max_size=300))
    def holds(data: bytes) -> None:
        harness.check(data)

    holds()


def test_checksums_of_a_mutated_png_file_are_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    intact = HARNESSES["raster"].seeds()[0]
    height = 8 + 8 + 7  # the last byte of the height, within the first chunk
    mutated = intact[:height] + bytes([intact[height] ^ 1]) + intact[height + 1 :]
    assert with_checksums(intact) == intact
    assert with_checksums(intact[:-2]) == intact[:-2]
    checked: list[bytes] = []

    def remember(data: bytes, *_: object) -> None:
        checked.append(data)
        raise MalformedInput("nothing is read")

    monkeypatch.setattr("tests.fuzz.harnesses.read", remember)
    HARNESSES["raster"].check(mutated)
    assert checked == [mutated, with_checksums(mutated)]
    with Image.open(io.BytesIO(checked[1])) as image:
        assert image.height == ROWS + 1 - 2 * (ROWS % 2)


def test_a_harness_notices_what_it_must_not_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr("tests.fuzz.harnesses.read", fail)
    with pytest.raises(KeyError):
        HARNESSES["dicom"].check(b"DICM")
    monkeypatch.setattr("tests.fuzz.harnesses.refers_to_other_files", lambda _: False)
    with pytest.raises(AssertionError):
        HARNESSES["onnx"].check(HARNESSES["onnx"].seeds()[1])
