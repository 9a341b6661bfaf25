"""A run without one source: its groups, and the difference of its figures."""

import math

import numpy as np

from bench.accuracy.sources.left_out import CONFIG, compared, without
from radiograph.manifest import Task
from training.config.files import load
from training.config.finetune import FinetuneConfig
from training.evaluation.evaluators.estimates import Figure, Quantity
from training.metrics import Counts

SOURCE = "wingspan_ctr"


def test_no_row_of_the_source_is_shown_and_the_other_shares_keep_their_ratios() -> None:
    config = load(CONFIG, FinetuneConfig)
    changed = without(config, SOURCE)
    assert SOURCE in {group.table for group in config.groups}
    assert SOURCE not in {group.table for group in changed.groups}
    assert math.isclose(sum(group.share for group in changed.groups), 1)
    first, second, *_ = (group for group in config.groups if group.table != SOURCE)
    assert math.isclose(
        changed.groups[0].share / changed.groups[1].share, first.share / second.share
    )


def test_both_runs_have_the_same_seed_steps_rows_and_labels() -> None:
    config = load(CONFIG, FinetuneConfig)
    left = {"groups"}
    assert without(config, SOURCE).model_dump(exclude=left) == config.model_dump(exclude=left)
    assert config.pretrained is None
    assert config.start_from is None
    assert config.teacher is None


def _figure(values: list[float]) -> Figure:
    def mean(counts: Counts) -> float:
        return float(counts @ np.array(values) / counts.sum())

    quantity = Quantity(SOURCE, Task.SEGMENT, "Left lung", "dice")
    return Figure(quantity, [str(n) for n in range(len(values))], mean)


def test_the_difference_is_without_minus_with_over_the_same_patients() -> None:
    ours, theirs = [0.9, 0.7, 0.8, 0.6], [0.8, 0.6, 0.7, 0.5]
    found = compared("anatomy", _figure(ours), _figure(theirs))
    assert found is not None
    assert math.isclose(found.with_it, 0.75)
    assert math.isclose(found.without_it, 0.65)
    # every patient loses 0.1, so that each resample does too
    assert math.isclose(found.low, -0.1)
    assert math.isclose(found.high, -0.1)
    assert str(found).startswith(
        f"| {SOURCE} | anatomy | Left lung | dice | 0.750 | 0.650 | -0.100"
    )


def test_a_figure_that_one_run_does_not_define_is_left_out() -> None:
    assert compared("anatomy", _figure([0.5]), _figure([float("nan")])) is None
