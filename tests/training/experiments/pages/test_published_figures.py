"""Figures of the paper: each is the printed one and has its place in our tables."""

import pytest

from training.config.files import load_tables
from training.experiments.pages.published_figures import (
    BELOW_ONE,
    IMPOSSIBLE,
    published,
    published_places,
)


def test_every_published_figure_has_its_place() -> None:
    tables = load_tables("tables").tables
    for table, row, column in published_places():
        assert row in tables[table].rows
        assert column in tables[table].columns


@pytest.mark.parametrize(
    ("table", "row", "column", "figures"),
    [
        ("1", "random", "siim_dice", (9.0, 28.6, 54.3)),
        ("1", "random", "object_cxr_map", (BELOW_ONE, 0.5, 4.4)),
        ("1", "imagenet", "rsna_dice", (34.8, 39.9, 64.0)),
        ("1", "convirt", "rsna_map", (8.2, 15.6, 17.9)),
        ("1", "mgca", "siim_dice", (49.7, 59.3, 64.2)),
        ("1", "m_flag", "object_cxr_map", (BELOW_ONE, 12.4, 19.3)),
        ("1", "medklip", "rsna_dice", (66.2, 69.4, 71.9)),
        ("1", "encoder", "object_cxr_map", (3.8, 13.1, 20.4)),
        ("1", "encoder_decoder", "siim_dice", (65.6, 66.9, 68.4)),
        ("1", "encoder_decoder", "rsna_map", (IMPOSSIBLE,) * 3),
        ("3", "g2d", "cxr14_auroc", (79.1, 81.1, 83.1)),
        ("4", "g2d", "covidx_accuracy", (76.6, 88.2, 93.4)),
        ("5", "loss_none", "siim_dice", (49.2, None, None)),
        ("5", "loss_pseudo", "cxr14_auroc", (79.1, None, None)),
        ("8", "shuffled", "rsna_map", (7.6, None, None)),
        ("3", "random", "cxr14_auroc", (None, None, None)),
    ],
)
def test_published_figures_are_the_paper_s(
    table: str, row: str, column: str, figures: tuple[float | str | None, ...]
) -> None:
    found = tuple(published(table, row, column, fraction) for fraction in (0.01, 0.1, 1.0))
    assert found == figures
    assert published(table, row, column, 0.05) is None


def test_published_zero_shot_figures_are_the_paper_s() -> None:
    grounding = [published("2a", "g2d", f"rsna_{name}", None) for name in ("recall", "iou", "dice")]
    assert grounding == [88.4, 33.5, 47.7]
    assert published("2b", "g2d", "chexpert_auroc", None) == 91.2
    assert published("2b", "g2d", "chexpert_f1", None) is None
