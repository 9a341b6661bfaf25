"""The cost of DICOM objects is measured in turns, and held against its goals."""

import pytest

from bench.costs import dicom_results
from bench.costs.dicom_results import Times
from tests.builders.service.results.dicom_results import known_result, source

pytest.importorskip("highdicom")


def test_every_kind_is_measured_beside_json() -> None:
    data = source()
    found = dicom_results.measure(known_result(data), data, 1)
    assert list(found) == [
        "json",
        "preview",
        "all",
        "seg",
        "sr_boxes",
        "sr_findings",
        "heatmap",
        "gsps",
        "sc",
    ]
    assert all(times.clock_ms > 0 for times in found.values())
    assert len(dicom_results.table(found).splitlines()) == 11


@pytest.mark.parametrize(("seg_ms", "held"), [(150.0, True), (150.1, False)])
def test_the_goals_are_those_of_five_megapixels(seg_ms: float, held: bool) -> None:
    found = {"all": Times(399, 1), "preview": Times(1, 1), "seg": Times(seg_ms, 1)}
    whole, alone = dicom_results.check(found)
    assert (whole.held, alone.held) == (True, held)
