"""Figures that the G2D paper prints, in percent.

Tables have their numbers in the paper, rows and columns their names in `tables.yaml`. Figures that
we could not read there are left out, and our tables show an empty place for them: F1 and accuracy
of table 2b, the other methods of tables 2b, 3 and 4, most rows of table 5, all of table 7, and the
upper row of table 8.

Source: "G2D: From Global to Dense Radiography Representation Learning via Vision-Language
Pre-training", Liu et al., NeurIPS 2024, arXiv 2312.01522.
"""

BELOW_ONE = "< 1"
"""An mAP below 1 %, which the paper prints as "-"."""
IMPOSSIBLE = "/"
"""A figure that cannot exist, such as that of a detector with a decoder; printed as it is."""
Printed = float | str
NUMBERS = ("1", "2a", "2b", "3", "4", "5", "7", "8")
"""Numbers of the paper's tables."""

_ALL = (0.01, 0.1, 1.0)
_ONE_TO_ALL: dict[str, dict[str, dict[str, tuple[Printed, ...]]]] = {
    "1": {
        "random": {
            "siim_dice": (9.0, 28.6, 54.3),
            "rsna_dice": (6.9, 10.6, 18.5),
            "rsna_map": (1.0, 4.0, 8.9),
            "object_cxr_map": (BELOW_ONE, 0.5, 4.4),
        },
        "imagenet": {
            "siim_dice": (10.2, 35.5, 63.5),
            "rsna_dice": (34.8, 39.9, 64.0),
            "rsna_map": (3.6, 8.0, 15.7),
            "object_cxr_map": (BELOW_ONE, 2.9, 8.3),
        },
        "convirt": {
            "siim_dice": (25.0, 43.2, 59.9),
            "rsna_dice": (55.0, 67.4, 67.5),
            "rsna_map": (8.2, 15.6, 17.9),
            "object_cxr_map": (BELOW_ONE, 8.6, 15.9),
        },
        "mgca": {
            "siim_dice": (49.7, 59.3, 64.2),
            "rsna_dice": (63.0, 68.3, 69.8),
            "rsna_map": (12.9, 16.8, 24.9),
            "object_cxr_map": (BELOW_ONE, 12.1, 19.2),
        },
        "m_flag": {
            "siim_dice": (52.5, 61.2, 64.8),
            "rsna_dice": (64.6, 69.7, 70.5),
            "rsna_map": (13.7, 17.5, 25.4),
            "object_cxr_map": (BELOW_ONE, 12.4, 19.3),
        },
        "medklip": {
            "siim_dice": (50.2, 60.8, 63.9),
            "rsna_dice": (66.2, 69.4, 71.9),
            "rsna_map": (8.9, 16.3, 24.5),
            "object_cxr_map": (BELOW_ONE, 7.1, 11.6),
        },
        "encoder": {
            "siim_dice": (62.6, 63.1, 66.8),
            "rsna_dice": (70.9, 72.6, 75.1),
            "rsna_map": (15.9, 21.7, 27.2),
            "object_cxr_map": (3.8, 13.1, 20.4),
        },
        "encoder_decoder": {
            "siim_dice": (65.6, 66.9, 68.4),
            "rsna_dice": (72.8, 73.4, 76.9),
            "rsna_map": (IMPOSSIBLE,) * 3,
            "object_cxr_map": (IMPOSSIBLE,) * 3,
        },
    },
    "3": {"g2d": {"cxr14_auroc": (79.1, 81.1, 83.1)}},
    "4": {
        "g2d": {
            "chexpert_auroc": (89.7, 90.4, 91.1),
            "rsna_auroc": (92.2, 92.9, 93.6),
            "covidx_accuracy": (76.6, 88.2, 93.4),
        }
    },
}
_ONE_PERCENT: dict[str, dict[str, dict[str, Printed]]] = {
    "5": {
        "loss_none": {"siim_dice": 49.2, "rsna_map": 11.7, "cxr14_auroc": 77.1},
        "loss_pseudo": {"siim_dice": 65.6, "rsna_map": 15.9, "cxr14_auroc": 79.1},
    },
    "8": {"shuffled": {"siim_dice": 50.9, "rsna_map": 7.6, "cxr14_auroc": 63.7}},
}
_UNTRAINED: dict[str, dict[str, dict[str, Printed]]] = {
    "2a": {
        "g2d": {
            "siim_recall": 37.7, "siim_iou": 3.9, "siim_dice": 5.1,
            "rsna_recall": 88.4, "rsna_iou": 33.5, "rsna_dice": 47.7,
        },
        "medklip": {
            "siim_recall": 35.6, "siim_iou": 2.1, "siim_dice": 4.0,
            "rsna_recall": 86.6, "rsna_iou": 31.7, "rsna_dice": 46.5,
        },
    },
    "2b": {
        "g2d": {
            "rsna_auroc": 87.6, "siim_auroc": 89.7, "cxr14_auroc": 79.4, "chexpert_auroc": 91.2,
        }
    },
}  # fmt: skip


def published(table: str, row: str, column: str, fraction: float | None) -> Printed | None:
    """Return the figure that the paper prints, in percent or as one of its marks.

    Args:
        table, row, column: names as in `tables.yaml`.
        fraction: fraction of the labels; None where nothing is trained.

    Returns:
        None if the figure is not known to us.
    """
    if fraction is None:
        return _UNTRAINED.get(table, {}).get(row, {}).get(column)
    if table in _ONE_PERCENT:
        figure = _ONE_PERCENT[table].get(row, {}).get(column)
        return figure if fraction == _ALL[0] else None
    figures = _ONE_TO_ALL.get(table, {}).get(row, {}).get(column, ())
    return dict(zip(_ALL, figures, strict=False)).get(fraction)


def published_places() -> set[tuple[str, str, str]]:
    """Return table, row and column of every figure."""
    found = set()
    for tables in (_ONE_TO_ALL, _ONE_PERCENT, _UNTRAINED):
        for table, rows in tables.items():
            found |= {(table, row, column) for row, columns in rows.items() for column in columns}
    return found
