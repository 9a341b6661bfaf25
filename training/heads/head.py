"""The base classes of the heads, and the batch that heads learn from.

features of the trunk -> Head.outputs -> raw outputs, as the manifest defines them
features + HeadsBatch -> TrainableHead.losses -> named losses
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from radiograph.manifest import HeadKind, HeadSpec, Label
from radiograph.terminology.codes import code_of
from training.config.finetune import FinetuneConfig
from training.data.batches.collate import Batch
from training.data.batches.region_targets import RegionTargets
from training.model.g2d import G2D
from training.model.text_encoder import Tokens

PHRASES = "phrase_features"
"""Name of the input of heads that answer phrases: P x D features of the text encoder."""


@dataclass(frozen=True)
class HeadsBatch:
    """One micro-batch of one process, as the heads learn from it.

    Attributes:
        radiographs: images and everything that is known about them.
        phrases: tokens of P phrases; none if no head reads phrases.
        regions: location of each phrase in each image.
        targets: name of a head -> its `targets`, for heads that have any.
    """

    radiographs: Batch
    phrases: Tokens
    regions: RegionTargets
    targets: dict[str, Any]


class Head(nn.Module):
    """A network on the features of the trunk that answers one task, or the checks.

    An instance is called with the features named by `inputs`, in that order, and returns the raw
    outputs that `radiograph.manifest.HeadSpec` defines for its kind.

    Attributes:
        name: name in checkpoints, exported files and manifests.
        kind: task that the head answers, or `check`.
        inputs: names of the features that it reads (see `training.model.g2d.trunk_outputs`).
        form: form of the raw outputs of a detector.
        method: grounding method; None for heads of another kind.
    """

    name: ClassVar[str]
    kind: ClassVar[HeadKind]
    inputs: ClassVar[tuple[str, ...]]
    form: ClassVar[Literal["grid", "candidates"]] = "grid"
    method: ClassVar[str | None] = None

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:  # noqa: ARG003 - for subclasses
        """Return the labels that the head has in a run."""
        return ()

    def outputs(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the raw outputs for features that are given by name."""
        answer: dict[str, Tensor] = self(*self.select(features))
        return answer

    def select(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the features that the head reads, in the order of `inputs`."""
        return [features[name] for name in self.inputs]

    def spec(self, config: FinetuneConfig) -> HeadSpec:
        """Return the manifest entry of the head in a run, before calibration."""
        codes = config.codes
        return self.spec_of(
            [Label(name=n, code=codes.get(n) or code_of(n)) for n in self.labels(config)]
        )

    def spec_of(self, labels: Sequence[Label]) -> HeadSpec:
        """Return the manifest entry of the head with the given labels and thresholds."""
        return HeadSpec(
            kind=self.kind,
            file=f"heads/{self.name}.onnx",
            inputs=self.inputs,
            labels=tuple(labels),
            method=self.method,
            form=self.form,
        )


class RunHead(Head, ABC):
    """A head that the configuration of a run asks for; the registry finds every concrete subclass.

    Attributes:
        settings: configuration keys that define the meaning of its outputs. They are part of the
            digest by which an evaluation and an export are matched with a run.
    """

    settings: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def requested(cls, config: FinetuneConfig) -> bool:
        """Return whether a run has this head."""
        return bool(cls.labels(config))

    @classmethod
    @abstractmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        """Build the head for a run that requests it.

        Args:
            config: configuration of the run.
            g2d: model whose features the head reads.
        """


class TrainableHead(RunHead):
    """A head that a fine-tuning trains together with others, on the labels of the data sets."""

    def targets(self, truth: Batch) -> Any:  # noqa: ARG002 - for subclasses
        """Return what the head learns from a batch, beyond what the batch holds; None if nothing.

        It is computed on the CPU while the batch is loaded, and moved to the device with it.

        Args:
            truth: images and everything that is known about them, on the CPU.
        """
        return None

    @abstractmethod
    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        """Return the weighted losses of one batch by name; the run minimises their sum.

        Args:
            features: outputs of the trunk by name, and `phrase_features` if the head reads them.
            batch: images and their targets.
        """
