"""One picture, stored in every way that the standard allows, gets the same answer.

Twelve transfer syntaxes, both photometric interpretations and all eight orientations of the phantom
in `docs/example.py`, read by the shipped model.
"""

import runpy
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from radiograph.geometry.orientation import Orientation
from radiograph.manifest import Task
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.registry.loading.loader import VersionLoader
from service.settings import Settings
from tests.builders.files import codestreams, dicom_files

ROOT = Path(__file__).parents[4]
NAME = "g2d-cxr"
QUESTION = AnalysisRequest((Task.CLASSIFY, Task.SEGMENT))
DIRECTIONS = ["L\\F", "R\\F", "R\\H", "L\\H", "F\\L", "H\\L", "F\\R", "H\\R"]

Pixels = NDArray[Any]
Store = Callable[[Pixels], bytes | None]


def _lossless_jpeg(stored: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=12))


ENCODERS: dict[str, Store] = {
    uid.ImplicitVRLittleEndian: lambda stored: None,
    uid.ExplicitVRLittleEndian: lambda stored: None,
    uid.ExplicitVRBigEndian: lambda stored: None,
    uid.DeflatedExplicitVRLittleEndian: lambda stored: None,
    uid.RLELossless: codestreams.rle,
    uid.JPEGBaseline8Bit: lambda stored: bytes(
        imagecodecs.jpeg8_encode((stored >> 4).astype(np.uint8), 95)
    ),
    uid.JPEGExtended12Bit: lambda stored: bytes(
        imagecodecs.jpeg8_encode(stored, 95, bitspersample=12)
    ),
    uid.JPEGLosslessSV1: _lossless_jpeg,
    uid.JPEGLSLossless: lambda stored: bytes(imagecodecs.jpegls_encode(stored)),
    uid.JPEG2000Lossless: lambda stored: bytes(
        imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, bitspersample=12)
    ),
    uid.JPEG2000: lambda stored: bytes(
        imagecodecs.jpeg2k_encode(stored, 70, codecformat="j2k", bitspersample=12)
    ),
    uid.HTJ2KLossless: lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)),
}


@pytest.fixture(scope="module")
def analysis() -> Iterator[Analysis]:
    settings = Settings.of(models_dir=ROOT / "models", default_model=NAME, threads=1)
    repository = Repository(settings.models.models_dir)
    loader = VersionLoader(repository, backend_factory(settings), settings.limits)
    opened = loader.load(NAME, repository.resolve(NAME, "stable"))
    yield opened.analysis
    opened.close()


@pytest.fixture(scope="module")
def upright() -> Pixels:
    """The phantom as stored values of 12 bits.

    Its outermost columns are left out: they are nearly as dark as a border, so that the noise of a
    lossy syntax decides whether the preprocessing cuts two of them off.
    """
    phantom = runpy.run_path(str(ROOT / "docs/example.py"))["phantom"]()
    return np.ascontiguousarray(np.asarray(phantom, dtype=np.uint16)[:, 20:-20] * 16)


def file_of(stored: Pixels, syntax: str, photometric: str, directions: str) -> bytes:
    shown = 4080 - stored if photometric == "MONOCHROME1" else stored
    attributes = {
        "BitsStored": 12,
        "PhotometricInterpretation": photometric,
        "PatientOrientation": directions.split("\\"),
    }
    codestream = ENCODERS[syntax](shown)
    if codestream is None:
        return dicom_files.dicom(shown, syntax, **attributes)
    if syntax == uid.JPEGBaseline8Bit:
        eight_bits = (shown >> 4).astype(np.uint8)
        return dicom_files.encoded(codestream, eight_bits, syntax, **attributes | {"BitsStored": 8})
    return dicom_files.encoded(codestream, shown, syntax, **attributes)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def probabilities(result: AnalysisResult) -> list[float]:
    assert result.findings is not None
    return [finding.probability for finding in result.findings]


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: uid.UID(syntax).name)
def test_masks_and_scores_do_not_depend_on_how_a_picture_is_stored(
    analysis: Analysis, upright: Pixels, syntax: str
) -> None:
    plain = file_of(upright, uid.ExplicitVRLittleEndian, "MONOCHROME2", "L\\F")
    expected = analysis.run_here(QUESTION, plain)
    assert expected.masks is not None
    assert [mask.name for mask in expected.masks] == ["Left lung", "Right lung", "Heart"]
    for photometric, directions in product(("MONOCHROME1", "MONOCHROME2"), DIRECTIONS):
        orientation = Orientation.from_directions(directions.split("\\"))
        assert orientation is not None
        stored = np.ascontiguousarray(orientation.turn_back(upright))
        answer = analysis.run_here(QUESTION, file_of(stored, syntax, photometric, directions))
        case = f"{photometric} {directions}"
        assert probabilities(answer) == pytest.approx(probabilities(expected), abs=0.02), case
        assert answer.masks is not None
        for mask, truth in zip(answer.masks, expected.masks, strict=True):
            assert mask.name == truth.name
            assert dice(orientation.turn(mask.mask), truth.mask) >= 0.99, case
