"""Out-of-distribution detection: how unlike the training images a radiograph is.

global features --Mahalanobis distance / sqrt(D)--> score --above the threshold--> warning
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import OutOfDomainSpec
from service.backends.base import FloatArray
from service.backends.golden import read_arrays
from service.inference.results import OutOfDistributionScore


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """Distribution of the trunk's global features over the training images.

    Attributes:
        mean: mean of the features, D.
        precision: inverse of their covariance, D x D.
        threshold: score above which a radiograph is out of the distribution.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    @classmethod
    def load(cls, folder: Path, spec: OutOfDomainSpec | None) -> "OutOfDistributionDetector | None":
        """Read the statistics of a version; return None for a version without them.

        Raises:
            InvalidVersion: the statistics cannot be read, or their shapes do not fit.
        """
        if spec is None:
            return None
        arrays = read_arrays(folder / spec.file)
        try:
            mean = arrays["mean"].astype(np.float64)
            precision = arrays["precision"].astype(np.float64)
        except (KeyError, ValueError) as error:
            raise InvalidVersion(f"{spec.file}: no `mean` or `precision`") from error
        if mean.ndim != 1 or precision.shape != (mean.size, mean.size):
            raise InvalidVersion(f"{spec.file}: `precision` does not fit `mean`")
        return cls(mean, precision, spec.threshold)

    def score(self, features: FloatArray) -> OutOfDistributionScore:
        """Score one radiograph.

        Args:
            features: its global features, D.

        Raises:
            InvalidVersion: the features are not finite.
        """
        difference = features.astype(np.float64) - self.mean
        squared = float(difference @ self.precision @ difference) / self.mean.size
        if not np.isfinite(squared):
            raise InvalidVersion("the global features are not finite")
        # A precision that is not quite positive definite may give a value just below zero.
        return OutOfDistributionScore(float(np.sqrt(max(squared, 0.0))), self.threshold)
