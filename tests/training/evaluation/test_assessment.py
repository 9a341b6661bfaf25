"""Assessment of a run: the splits that may be measured."""

from pathlib import Path

import pytest

from training.evaluation.assessment import measure
from training.evaluation.trained_model import load_run


def test_the_test_split_is_not_one_to_choose_by(finetuned: Path) -> None:
    with pytest.raises(ValueError, match="train or valid"):
        measure(load_run(finetuned), "test")
