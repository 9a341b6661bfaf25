"""Assessment of a run: splits by which choices may be made."""

import pytest

from training.evaluation.assessment import measure
from training.evaluation.trained_model import TrainedModel


def test_no_choice_is_made_by_the_test_split(evaluated_run: TrainedModel) -> None:
    with pytest.raises(ValueError, match="train or valid"):
        measure(evaluated_run, "test")
