"""The published model in PyTorch: the modules of the training package, with weights from ONNX.

    trunk.onnx, heads/<head>.onnx --initialisers--> state dict --> G2D image side + head

No checkpoint is shipped, but the graphs keep every weight under its name in the module, float16
weights as `<name>.half`. Only the projections of the attention pool were folded, into three
transposed matrices and three biases without a name. `check` compares the result with the golden
outputs of the version.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from onnx import GraphProto, numpy_helper
from torch import Tensor, nn

from training.config.model import EncoderConfig
from training.heads.classification import ClassifyHead
from training.model.attention_pool import AttentionPool
from training.model.g2d import ImageFeatures, trunk_outputs
from training.model.image_encoder import build_unet, run_unet

PREFIX = "g2d."
TOLERANCE = 1e-3


class ImageSide(nn.Module):
    """Image side of G2D, with modules named like their weights."""

    def __init__(self, config: dict[str, Any], size_px: int) -> None:
        super().__init__()
        dim = config["projection_dim"]
        encoder = EncoderConfig.model_validate({**config["encoder"], "weights": None})
        self.img_model = build_unet(encoder)
        self.proj_v = nn.Sequential(
            nn.Conv2d(self.img_model.encoder.out_channels[-1], dim, 1, bias=False),
            nn.BatchNorm2d(dim, affine=False),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 1, bias=False),
        )
        self.attnpool = AttentionPool(
            (size_px // 32, size_px // 32), dim, config["attention_heads"]
        )

    def global_features(self, images: Tensor) -> Tensor:
        """Return B x C features of normalised images, B x 1 x S x S, by the encoder alone."""
        return run_unet(self.img_model, images, decode=False).deep.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the trunk by name, for normalised images, B x 1 x S x S."""
        pyramid = run_unet(self.img_model, images)
        pixels = self.proj_v(pyramid.deep)
        pooled = self.attnpool(pixels)
        return trunk_outputs(ImageFeatures(pyramid, pixels, pooled.embedding, pooled.attention))


@dataclass(frozen=True)
class Classifier:
    """Trunk and classification head.

    Attributes:
        trunk: trunk in evaluation mode.
        head: head in evaluation mode.
        labels: labels of the head, in its order.
        temperature: divisor of the logits.
        encoder_only: leave out the decoder, which findings do not read.
    """

    trunk: ImageSide
    head: ClassifyHead
    labels: tuple[str, ...]
    temperature: float
    encoder_only: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Return B x K probabilities of normalised images, B x 1 x S x S."""
        if self.encoder_only:
            features = self.trunk.global_features(images)
        else:
            features = self.trunk(images)["global_features"]
        logits: Tensor = self.head(features)["logits"]
        return (logits / self.temperature).sigmoid()


def load(folder: Path, *, encoder_only: bool = False) -> Classifier:
    """Load the classifier of one version and check it against its golden outputs.

    Raises:
        ValueError: a weight is missing or the outputs differ, because the version has another
            architecture than the training package builds.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    texts = manifest["provenance"]["configuration"].values()
    configurations = [yaml.safe_load(text) for text in texts]
    config = next(one["model"] for one in configurations if one["kind"] == "pretrain")
    trunk = ImageSide(config, manifest["preprocess"]["size_px"])
    _fill(trunk, _trunk_weights(onnx.load(folder / "trunk.onnx").graph))
    name, spec = next((n, h) for n, h in manifest["heads"].items() if h["kind"] == "classify")
    weights = _weights(onnx.load(folder / spec["file"]).graph, "head.")
    labels = tuple(label["name"] for label in spec["labels"])
    head = ClassifyHead(weights["linear.1.weight"].shape[1], len(labels))
    _fill(head, weights)
    classifier = Classifier(trunk.eval(), head.eval(), labels, spec["temperature"], encoder_only)
    check(classifier, folder / manifest["golden"]["file"], name)
    return classifier


@torch.inference_mode()
def check(classifier: Classifier, golden: Path, head: str) -> None:
    """Compare trunk and head with the golden outputs.

    Raises:
        ValueError: an output differs by more than the tolerance.
    """
    with np.load(golden) as arrays:
        features = classifier.trunk(torch.from_numpy(arrays["image"]))
        features["logits"] = classifier.head(features["global_features"])["logits"]
        for name, value in features.items():
            key = f"{head}.logits" if name == "logits" else f"trunk.{name}"
            expected = arrays[key]
            error = np.abs(value.numpy() - expected) / np.maximum(1.0, np.abs(expected))
            if not error.max() <= TOLERANCE:  # also if the error is NaN
                raise ValueError(f"{key} differs by {error.max():.2g} from the golden output")


def _weights(graph: GraphProto, prefix: str) -> dict[str, Tensor]:
    """Return the initialisers with a prefix as float32, named without it and without `.half`."""
    return {
        item.name.removeprefix(prefix).removesuffix(".half"): _tensor(item)
        for item in graph.initializer
        if item.name.startswith(prefix)
    }


def _tensor(item: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(item).astype(np.float32))


def _trunk_weights(graph: GraphProto) -> dict[str, Tensor]:
    """Return the weights of the trunk, with the folded projections of the attention restored."""
    weights = _weights(graph, PREFIX)
    given = {item.name.removesuffix(".half"): item for item in graph.initializer}

    def folded(operator: str) -> list[Tensor]:
        """Return the unnamed initialisers of an operator, in the order of the graph: q, k, v."""
        nodes = (node for node in graph.node if node.op_type == operator)
        names = (name for node in nodes for name in node.input)
        return [_tensor(given[n]) for n in names if n in given and not n.startswith(PREFIX)]

    matrices = [matrix.T for matrix in folded("MatMul")]
    biases = [bias for bias in folded("Add") if bias.shape == matrices[0].shape[:1]]
    weights["attnpool.mhsa.in_proj_weight"] = torch.cat(matrices)
    weights["attnpool.mhsa.in_proj_bias"] = torch.cat(biases)
    return weights


def _fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights. Missing ones are not needed: batch counters and an unused last layer."""
    unexpected = module.load_state_dict(weights, strict=False).unexpected_keys
    if unexpected:
        raise ValueError(f"the graph has weights that are not in the module: {unexpected[:5]}")
