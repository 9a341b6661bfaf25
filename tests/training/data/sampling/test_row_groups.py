"""Balanced epochs: shares, and every row of a group before any is shown again."""

from collections import Counter
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from training.config.run import RowGroup, RowGroups
from training.data.cache.sample_index import Sample
from training.data.rows.reader import Row
from training.data.sampling.row_groups import balanced_order
from training.data.sampling.sampler import MicroBatchIndex, Sampler


def _sample(table: str, *labels: str, boxes: tuple[str, ...] = ()) -> Sample:
    row = Row(table, "a.png", "p", "train", "", labels, "PA", "", "", "CC0-1.0", "open")
    findings = {"Pneumonia": "Pneumonia" in labels}
    row = replace(row, findings=findings, normal="normal" in labels if labels else None)
    return Sample(row, frozenset(), tuple((name, (0.0, 0.0, 1.0, 1.0)) for name in boxes))


SAMPLES = [
    *(_sample("kermany_224", "normal") for _ in range(12)),
    *(_sample("kermany_224", "Pneumonia") for _ in range(4)),
    *(_sample("nih_subset", "Pneumonia", boxes=("Lung opacity",)) for _ in range(3)),
    _sample("other"),
]
GROUPS = (
    RowGroup(share=0.5, boxes=True),
    RowGroup(share=0.2, table="kermany_224", finding="Pneumonia"),
    RowGroup(share=0.3, table="kermany_224", normal=True),
)


def test_an_epoch_has_the_shares_and_leaves_other_rows_out() -> None:
    order = balanced_order(SAMPLES, GROUPS, seed=3)
    assert order is not None
    drawn = Counter((SAMPLES[i].row.table, *SAMPLES[i].row.labels) for i in order(0).tolist())
    assert drawn == {
        ("nih_subset", "Pneumonia"): 10,
        ("kermany_224", "Pneumonia"): 4,
        ("kermany_224", "normal"): 6,
    }


def test_every_row_of_a_group_is_shown_before_any_again() -> None:
    order = balanced_order(SAMPLES, GROUPS, seed=3)
    assert order is not None
    normal = [i for epoch in (0, 1) for i in order(epoch).tolist() if i < 12]
    assert sorted(normal) == list(range(12))
    boxed = Counter(i for epoch in range(3) for i in order(epoch).tolist() if 16 <= i < 19)
    assert boxed == {16: 10, 17: 10, 18: 10}


def test_epochs_are_a_function_of_the_seed() -> None:
    first, again, other = (balanced_order(SAMPLES, GROUPS, seed) for seed in (3, 3, 4))
    assert first is not None and again is not None and other is not None  # noqa: PT018
    assert first(5).tolist() == again(5).tolist() != other(5).tolist()


def test_a_row_is_in_the_first_group_that_it_fits() -> None:
    groups = (RowGroup(share=0.5, box="Lung opacity"), RowGroup(share=0.5, finding="Pneumonia"))
    order = balanced_order(SAMPLES, groups, seed=0)
    assert order is not None
    assert Counter(SAMPLES[i].row.table for i in order(0).tolist()) == {
        "nih_subset": 10, "kermany_224": 10,
    }  # fmt: skip


def test_a_group_without_rows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no training row is in the group table: nowhere"):
        balanced_order(SAMPLES, [RowGroup(share=1, table="nowhere")], seed=0)


def test_shares_that_do_not_make_a_whole_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"must sum to 1, not to 0\.9"):
        TypeAdapter(RowGroups).validate_python([{"share": 0.4}, {"share": 0.5}])


def test_batches_are_drawn_from_the_groups_in_a_new_order() -> None:
    draw = balanced_order(SAMPLES, GROUPS, seed=1)
    assert draw is not None
    sampler = Sampler(range(100, 120), 4, seed=1, draw=draw)
    rows = [row for step in range(5) for row in sampler.rows(MicroBatchIndex(step))]
    assert sorted(rows) == sorted(100 + i for i in draw(0).tolist())
    assert rows != [100 + i for i in draw(0).tolist()]
