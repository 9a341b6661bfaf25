"""A trained run in evaluation mode, in PyTorch, with the calls of a serving backend.

Weights are first rounded to the values that an exported version stores (float16, and int8 rows for
the word embeddings), so that evaluation measures the model that is served.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from radiograph.errors import TaskNotOffered
from training.checkpoint_conversion.layout import ALIGNMENT
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import preferred_checkpoint, read_any_run
from training.evaluation.weight_rounding import round_weights
from training.finetune.initial_weights import fitting
from training.finetune.module import Finetuning, model_weights
from training.finetune.past_runs import PastRun, architecture, runs_of
from training.heads.grounding import SimilarityHead
from training.heads.head import PHRASES, Head
from training.heads.registry import HEADS
from training.metrics.arrays import FloatArray
from training.model.g2d import trunk_outputs
from training.model.text_encoder import build_tokenizer, tokenize

Raw = dict[str, FloatArray]


class Trunk(nn.Module):
    """Network of the trunk: image -> its outputs, as a tuple in a fixed order."""

    def __init__(self, model: "TrainedModel") -> None:
        """Args: model: its published part of the image side is used."""
        super().__init__()
        self.g2d, self.read, self.decode = model.module.g2d, model.reads, model.decodes

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """B x 1 x S x S, normalised -> the tensors of `trunk_outputs`."""
        features = self.g2d.image(image, decode=self.decode)
        return tuple(trunk_outputs(features, self.read).values())


@dataclass(frozen=True)
class TrainedModel:
    """A fine-tuned run in evaluation mode.

    Attributes:
        config: configuration of the run.
        module: G2D and heads, with the weights that an export stores.
        heads: heads by their published names; includes the zero-shot head if images and text were
            ever aligned.
        tokenizer: tokenizer of the text encoder.
        runs: every run that the model comes from, the first one first and this one last.
        whole_trunk: True to publish every map of encoder and decoder, for later heads.
    """

    config: FinetuneConfig
    module: Finetuning
    heads: dict[str, Head]
    tokenizer: PreTrainedTokenizerBase
    runs: tuple[PastRun, ...]
    whole_trunk: bool = False

    @property
    def reads_text(self) -> bool:
        """True if a head reads phrases; otherwise no text side is published."""
        return any(PHRASES in head.inputs for head in self.heads.values())

    @property
    def decodes(self) -> bool:
        """True if the decoder is part of the published trunk.

        It is left out if the trained heads read the encoder alone. A pre-training has no heads, and
        any head may be trained on it later.
        """
        return self.whole_trunk or self.module.decodes or not self.module.heads

    @property
    def reads(self) -> set[str]:
        """Names of the encoder maps among the outputs of the trunk."""
        every = {f"encoder_{stride}" for stride in (8, 16, 32)}
        return every if self.whole_trunk else self.module.reads

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, labels and preprocessing, on which all answers depend.

        It changes when a run is trained further, so that an older evaluation or export does not
        match.
        """
        read = {"preprocess"}.union(*(head.settings for head in HEADS))
        found = hashlib.sha256(self.config.model_dump_json(include=read).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @property
    def device(self) -> torch.device:
        """Device of the weights; outputs are always on the host."""
        return next(self.module.parameters()).device

    @torch.inference_mode()
    def trunk(self, image: FloatArray) -> dict[str, FloatArray]:
        """Return the outputs of the trunk by name, for normalised images B x 1 x S x S."""
        outputs = self.features(self._to_device(image))
        return {name: value.cpu().numpy() for name, value in outputs.items()}

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the trunk for a tensor on its device."""
        return trunk_outputs(self.module.g2d.image(image, decode=self.decodes), self.reads)

    @torch.inference_mode()
    def predict(self, image: FloatArray) -> tuple[dict[str, FloatArray], dict[str, Raw]]:
        """Run trunk and heads on a batch, and copy to the host what is needed later.

        Args:
            image: B x 1 x S x S, normalised.

        Returns:
            See `answers`.
        """
        reads = {name for head in self.heads.values() for name in head.inputs}
        decode = any(name.startswith("decoder_") for name in reads)
        with full_precision():
            image_features = self.module.g2d.image(self._to_device(image), decode=decode)
        return self.answers(trunk_outputs(image_features, self.module.reads))

    @torch.inference_mode()
    def answers(
        self, features: Mapping[str, Tensor]
    ) -> tuple[dict[str, FloatArray], dict[str, Raw]]:
        """Run the heads on the outputs of a trunk.

        Args:
            features: outputs of the trunk by name, on the device of the model.

        Returns:
            The features that heads with phrases read, with `global_features`; and the raw outputs
            of the heads without phrases, by head.
        """
        with_phrases = [set(head.inputs) for head in self.heads.values() if PHRASES in head.inputs]
        kept = {"global_features"}.union(*with_phrases) - {PHRASES}
        with full_precision():
            raw = {
                name: head.outputs(features)
                for name, head in self.heads.items()
                if PHRASES not in head.inputs
            }
        return (
            {name: value.cpu().numpy() for name, value in features.items() if name in kept},
            {name: {k: v.cpu().numpy() for k, v in out.items()} for name, out in raw.items()},
        )

    @torch.inference_mode()
    def text(self, phrases: Sequence[str]) -> FloatArray:
        """Return the features P x D of P phrases."""
        tokens = tokenize(self.tokenizer, phrases, self.module.model.text.max_tokens)
        ids, mask = tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device)
        features: Tensor = self.module.g2d.lm_model(ids, mask)
        return features.cpu().numpy()

    @torch.inference_mode()
    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return the raw outputs of one head for the features that it reads."""
        with full_precision():
            tensors = {key: self._to_device(value) for key, value in inputs.items()}
            outputs = self.heads[name].outputs(tensors)
        return {key: value.cpu().numpy() for key, value in outputs.items()}

    @torch.inference_mode()
    def head_of_images(self, name: str, image: FloatArray) -> Raw:
        """Return the raw outputs of one head without phrases; the trunk runs as far as it reads.

        Args:
            name: name of the head.
            image: B x 1 x S x S, normalised.
        """
        head = self.heads[name]
        decode = any(each.startswith("decoder_") for each in head.inputs)
        with full_precision():
            image_features = self.module.g2d.image(self._to_device(image), decode=decode)
            outputs = head.outputs(trunk_outputs(image_features, head.inputs))
        return {key: value.cpu().numpy() for key, value in outputs.items()}

    def _to_device(self, array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def full_precision() -> AbstractContextManager[None]:
    """Return a context in which a GPU convolves in float32, as the service does, not in TF32."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def to_device_of_run(model: TrainedModel) -> TrainedModel:
    """Move the model to the kind of device that its run used, if this machine has one."""
    accelerator = model.config.engine.accelerator
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        model.module.to("cuda")
    elif accelerator == "mps" and torch.backends.mps.is_available():
        model.module.to("mps")
    return model


def load_run(checkpoint: Path) -> TrainedModel:
    """Load the last checkpoint of a fine-tuning, or of a pre-training for its zero-shot map.

    Raises:
        RunRefused: there is no checkpoint, or it does not describe a model.
        TaskNotOffered: the run has no head, and its text side was never aligned with its images.
    """
    path = preferred_checkpoint(checkpoint) if checkpoint.is_dir() else checkpoint
    read, this = read_any_run(path, "run")
    config = this if isinstance(this, FinetuneConfig) else _without_heads(this, path)
    runs = runs_of(read, this)
    model, temperature = architecture(runs)
    module = Finetuning(config, model, temperature)
    with fitting("run", path):
        module.load_state_dict(model_weights(read.weights))
    round_weights(module)
    module.eval().requires_grad_(requires_grad=False)
    heads: dict[str, Head] = {**module.run_heads}
    if (why := never_aligned(runs)) is None:
        heads[SimilarityHead.name] = SimilarityHead(module.g2d, module.temperature).eval()
    elif not heads:
        raise TaskNotOffered(why)
    return TrainedModel(config, module, heads, build_tokenizer(model.text), runs)


def _without_heads(config: PretrainConfig, path: Path) -> FinetuneConfig:
    """Describe a pre-training as a fine-tuning without heads."""
    return FinetuneConfig(
        kind="finetune",
        epochs=1,
        batch_size=config.batch_size,
        preprocess=config.preprocess,
        data=config.data,
        pretrained=path,
        regions=False,
    )


def never_aligned(runs: Sequence[PastRun]) -> str | None:
    """Return why zero-shot answers would be noise, or None if they are not.

    Args:
        runs: runs that led to the model, the first one first. The last one that trained the encoder
            decides whether images and text still agree; for an imported checkpoint it is decisive
            whether it held both sides.
    """
    why: str | None = "no zero-shot answers: no run has aligned images with text"
    for run in runs:
        if isinstance(run.config, PretrainConfig):
            why = _imported_without_alignment(run.config)
        elif run.config.aligns:
            why = None
        elif not run.config.freezes_encoder and why is None:
            why = "no zero-shot answers: the encoder was trained without the image-report loss"
    return why


def _imported_without_alignment(config: PretrainConfig) -> str | None:
    imported = config.imported
    missing = [part for part in ALIGNMENT if imported and part not in imported.from_file]
    if imported is None or not missing:
        return None
    return (
        f"no zero-shot answers: {imported.file} held no {', '.join(missing)}, and no run has "
        "aligned images with text since"
    )
