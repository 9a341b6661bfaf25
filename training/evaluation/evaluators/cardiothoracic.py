"""Error of the cardiothoracic ratio that is measured in the served masks.

set's own value, else that of the true masks --minus--> served value --ImageMean--> figures
"""

from collections.abc import Iterator, Mapping
from math import isfinite

from radiograph.geometry.geometry import Box
from radiograph.manifest import Task
from radiograph.postprocess.boxes import bounds
from radiograph.postprocess.measurements import CARDIOTHORACIC_RATIO, cardiothoracic_ratio
from training.evaluation.evaluators.estimates import Figure, ImageMean, Quantity
from training.evaluation.predictions import Prediction

OWN_VALUE = "ctr_from_masks"
"""Name under which a row's `extra` holds the data set's own ratio."""


class RatioFigures:
    """Figures of the ratio over the images for which it is known.

    `measured` is the share of these images in which the masks allow a ratio; `absolute error` and
    `bias` (served minus true) are means over those.
    """

    def __init__(self, data: str) -> None:
        """Args: data: name of the data set."""
        self._data = data
        self._means = {name: ImageMean() for name in ("measured", "absolute error", "bias")}

    def add(self, prediction: Prediction, served: Mapping[str, Box | None]) -> None:
        """Keep the figures of one radiograph.

        Args:
            prediction: the radiograph.
            served: box around each mask that is served.
        """
        true = _true_ratio(prediction)
        if true is None:
            return
        found = cardiothoracic_ratio(served, prediction.geometry)
        self._means["measured"].add(prediction, float(found is not None))
        if found is not None:
            self._means["absolute error"].add(prediction, abs(found - true))
            self._means["bias"].add(prediction, found - true)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures; none if the ratio is known of no image."""
        for metric, mean in self._means.items():
            if mean.values:
                yield mean.figure(Quantity(self._data, Task.SEGMENT, CARDIOTHORACIC_RATIO, metric))


def _true_ratio(prediction: Prediction) -> float | None:
    """Return the data set's own ratio, or that of its masks; None without both."""
    if (own := _number(prediction.row.extra.get(OWN_VALUE, ""))) is not None:
        return own
    boxes = {name: bounds(mask) for name, mask in prediction.masks.items()}
    return cardiothoracic_ratio(boxes, prediction.geometry)


def _number(text: str) -> float | None:
    """Read a finite number; None if the text is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
