"""Domain: how unlike the training images a radiograph is, and what is said of it.

global features --Mahalanobis distance--> score --over the threshold--> warning
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import OutOfDomainSpec
from service.backends.base import FloatArray
from service.backends.golden import read_arrays
from service.inference.results import DomainScore, Notice

_CODED_WARNING = re.compile(r"([a-z][a-z0-9_]*): (.+)", re.DOTALL)


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """Distribution of the trunk's global features over the training images."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    @classmethod
    def load(cls, folder: Path, spec: OutOfDomainSpec | None) -> "OutOfDistributionDetector | None":
        """Read the statistics of a version; None where it has none.

        Raises:
            InvalidVersion: they cannot be read, or do not fit together.
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

    def score(self, features: FloatArray) -> DomainScore:
        """How far one radiograph is from the usual ones.

        Args:
            features: its global features, D.

        Raises:
            InvalidVersion: they are not finite.
        """
        difference = features.astype(np.float64) - self.mean
        squared = float(difference @ self.precision @ difference) / self.mean.size
        if not np.isfinite(squared):
            raise InvalidVersion("the global features are not finite")
        return DomainScore(float(np.sqrt(max(squared, 0.0))), self.threshold)


def notices(warnings: Sequence[str], domain: DomainScore | None) -> tuple[Notice, ...]:
    """What a reader of the answer must know: the reader's warnings, and an odd image."""
    found = [_notice(text) for text in warnings]
    if domain is not None and domain.outside:
        message = (
            f"The image is unlike the chest radiographs that the model was trained on (score "
            f"{domain.score:.2f}, threshold {domain.threshold:.2f}); do not rely on the answer."
        )
        found.append(Notice("out_of_domain", message))
    return tuple(found)


def _notice(text: str) -> Notice:
    """A reader's warning, `code: message` or a message alone."""
    coded = _CODED_WARNING.fullmatch(text)
    return Notice(coded[1], coded[2]) if coded else Notice("image", text)
