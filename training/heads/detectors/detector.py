"""Base classes of the detection heads: labels, name and weight of the losses."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor

from radiograph.manifest import Task
from training.config.finetune import Detector, FinetuneConfig
from training.data.batches.collate import Batch
from training.heads.head import HeadsBatch, TrainableHead
from training.model.g2d import G2D

LOSS_WEIGHT = 0.5
"""Factor of the detection losses relative to the losses of the other heads."""
ENCODER_MAPS = ("encoder_8", "encoder_16", "encoder_32")
"""Inputs of the detectors that read the encoder alone."""


class DetectorHead(TrainableHead):
    """Base class of the detection heads; a run has the one that its `detector` key names.

    Attributes:
        detector: value of the `detector` key.
    """

    name = "boxes"
    kind = Task.DETECT
    settings: ClassVar[frozenset[str]] = frozenset({"boxes"})
    detector: ClassVar[Detector]

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:
        """Return the labels of the boxes if the run uses this detector."""
        return config.boxes if config.detector == cls.detector else ()

    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        """Return the weighted losses of the detector."""
        targets, known = batch.targets[self.name], batch.radiographs.boxes_known
        losses = self.box_losses(self.select(features), targets, known)
        return {name: LOSS_WEIGHT * value for name, value in losses.items()}

    @abstractmethod
    def targets(self, truth: Batch) -> Any:
        """Return the targets of the boxes on the maps of the head."""

    @abstractmethod
    def box_losses(
        self, inputs: Sequence[Tensor], targets: Any, known: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses by name, before weighting.

        Args:
            inputs: features that the head reads, in the order of `inputs`.
            targets: targets from `targets`, on the device.
            known: B x K bool, True if all boxes of the label are known.
        """


class EncoderDetector(DetectorHead):
    """Base class of the detectors on the encoder's maps of strides 8, 16 and 32.

    A subclass is constructed from the channels of the three maps and the number of labels.
    """

    inputs = ENCODER_MAPS
    form = "candidates"

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        """Build the detector on the three maps of the encoder."""
        return cls([g2d.channels(name) for name in cls.inputs], len(config.boxes))
