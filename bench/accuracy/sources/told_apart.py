"""How well a linear classifier tells groups of images apart by their features."""

from collections.abc import Sequence

import numpy as np

from training.metrics.arrays import FloatArray


def told_apart(fitted: Sequence[FloatArray], tested: Sequence[FloatArray]) -> float:
    """Fit a linear classifier of the groups, and measure it on other images of them.

    Args:
        fitted: for each group, n x C features to fit on.
        tested: for each group, m x C features to measure on.

    Returns:
        The balanced accuracy; 1 / the number of groups is chance.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.preprocessing import StandardScaler

    groups = [np.repeat(np.arange(len(each)), [len(f) for f in each]) for each in (fitted, tested)]
    scaler = StandardScaler().fit(np.concatenate(fitted))
    model = LogisticRegression(max_iter=2000, C=0.1, class_weight="balanced")
    model.fit(scaler.transform(np.concatenate(fitted)), groups[0])
    found = model.predict(scaler.transform(np.concatenate(tested)))
    return float(balanced_accuracy_score(groups[1], found))
