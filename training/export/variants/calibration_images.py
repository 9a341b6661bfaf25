"""Images by which the ranges of a quantised trunk are set: some of the training split."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from training.data.rows.dataset_files import DataError
from training.evaluation.predictions import read_split
from training.evaluation.trained_model import TrainedModel
from training.metrics.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Images of the training split.

    Attributes:
        images: inputs of the model, 1 x S x S each.
        counts: number of images of each data set.
    """

    images: tuple[FloatArray, ...]
    counts: Mapping[str, int]

    def __str__(self) -> str:
        sets = ", ".join(f"{number} of {name}" for name, number in self.counts.items())
        return f"{len(self.images)} images of the training split ({sets})"


def calibration_images(model: TrainedModel, count: int) -> CalibrationImages:
    """Return images of the training split, as many of each data set as it has, up to its part.

    Args:
        model: the run.
        count: number of images of all data sets together; at least one is taken of each.

    Raises:
        DataError: no image of the training split can be read.
    """
    data = model.config.data
    part = max(1, count // len(data.tables))
    counts: Counter[str] = Counter()
    images: list[FloatArray] = []
    for batch in read_split(model, "train", data.licences, limit=part):
        for image, truth in zip(batch.images, batch.truths, strict=True):
            if counts[truth.row.table] < part:
                counts[truth.row.table] += 1
                images.append(image)
    if not images:
        raise DataError("no image of the training split can be read, to calibrate a variant by")
    return CalibrationImages(tuple(images), counts)
