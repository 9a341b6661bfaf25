"""Calibrations of findings that are compared: they are fitted elsewhere and keep the ranking."""

import numpy as np
import pytest

from bench.accuracy.calibration import CALIBRATIONS, Scored, cross_fitted, errors, lines
from radiograph.postprocess.activations import sigmoid


@pytest.fixture(scope="module")
def scored() -> Scored:
    """Logits that are twice too large in either set; the second set has other labels known."""
    rng = np.random.default_rng(3)
    true = rng.normal(size=(4000, 2))
    known = np.ones((4000, 2), dtype=bool)
    known[2000:, 1] = False
    return Scored(
        names=("Effusion", "Mass"),
        logits=2 * true,
        known=known,
        positive=rng.random((4000, 2)) < sigmoid(true),
        sets=np.repeat(np.array(["first", "second"]), 2000),
        folds=rng.integers(0, 5, 4000),
    )


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_every_calibration_mends_logits_that_are_too_large(name: str, scored: Scored) -> None:
    before = errors(scored, sigmoid(scored.logits))
    after = errors(scored, cross_fitted(CALIBRATIONS[name], scored, scored.folds))
    assert len(before) == len(after) == 3
    assert max(after) < 0.05 < min(before)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_no_calibration_changes_the_ranking(name: str, scored: Scored) -> None:
    scales, _ = CALIBRATIONS[name](scored, np.ones(4000, dtype=bool))
    assert (scales > 0).all()


def test_a_fit_never_sees_the_group_that_it_is_for(scored: Scored) -> None:
    seen: list[set[str]] = []

    def fit(given: Scored, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(set(given.sets[rows]))
        return np.ones(2), np.zeros(2)

    cross_fitted(fit, scored, scored.sets)
    assert seen == [{"second"}, {"first"}]


def test_the_table_has_the_error_that_is_left_to_chance(scored: Scored) -> None:
    first, *_ = lines(scored, sigmoid(scored.logits / 2))
    _, data, finding, error, chance, *_ = (cell.strip() for cell in first.split("|"))
    assert (data, finding) == ("first", "Effusion")
    assert abs(float(error) - float(chance)) < 0.02
