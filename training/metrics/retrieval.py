"""Retrieval of reports by images and of images by reports."""

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 5, 10)
"""Numbers of best answers among which a right one is looked for."""


def retrieval_recall(scores: NDArray[np.float64], ids: NDArray[np.int64]) -> dict[str, float]:
    """Return the share of queries with a right answer among the best 1, 5 and 10.

    Of equal scores, a wrong answer counts as the better one, so that a model that tells nothing
    apart has no recall.

    Args:
        scores: N x N similarities of image (row) and report (column), finite.
        ids: N identifiers, equal for reports that say the same; each of them is a right answer for
            every image that has one of them, and the reverse.

    Returns:
        `image_to_report_r1`, `_r5`, `_r10` and `report_to_image_r1`, `_r5`, `_r10`, in [0, 1].
    """
    found: dict[str, float] = {}
    right = ids[:, None] == ids[None, :]
    for direction, table in {"image_to_report": scores, "report_to_image": scores.T}.items():
        best = np.where(right, table, -np.inf).max(axis=1)
        ahead = ((table >= best[:, None]) & ~right).sum(axis=1)
        found |= {f"{direction}_r{k}": float((ahead < k).mean()) for k in CUTOFFS}
    return found
