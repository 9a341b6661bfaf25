"""Export of a fine-tuned run to ONNX, checked against PyTorch.

    run -> trunk.onnx, text.onnx + tokenizer.json, heads/<head>.onnx, golden.npz -> parity
        -> export.json

The text side is not written if no head reads phrases, and the trunk has no decoder if all heads
read the encoder alone. The check uses images and phrases other than the golden ones. An export is
refused if an output differs by more than the tolerance, or if a decision differs.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from radiograph.errors import PublishRefused
from radiograph.manifest import Precision, VariantSpec
from training.evaluation.assessment import RunFolder
from training.evaluation.calibration.calibrate import specs_of
from training.evaluation.trained_model import TrainedModel, Trunk
from training.export.decision_parity import different_decisions
from training.export.parity import (
    TOLERANCE,
    TRUNK,
    both_outputs,
    difference,
    feeds_of,
    phrase_features,
    refuse_difference,
    torch_outputs,
)
from training.export.stored_parameters import record_parameters
from training.export.weight_compression import compress_weights
from training.heads.head import PHRASES, Head
from training.model.text_encoder import Tokens, tokenize
from training.progress import track

OPSET = 18
_VARIANTS: TypeAdapter[dict[Precision, VariantSpec]] = TypeAdapter(dict[Precision, VariantSpec])
_TEST_PHRASES = ("left lung", "the heart is enlarged", "opacity at the base of the right lung")
_GOLDEN_PHRASES = ("left lung",)


@dataclass(frozen=True)
class ExportedRun:
    """The files of an export and how well they agree with PyTorch.

    Attributes:
        folder: folder with every file of the version except manifest and model card.
        parity: output -> largest difference between PyTorch and ONNX (see `difference`).
        raw: output -> largest absolute difference, such as that of a logit of -30.
        trunk_outputs: names of the trunk's outputs, in the order of the graph.
        head_inputs: head -> names of the features that it reads.
        weights: digest of the model that was exported; empty if it was not recorded.
        variants: trunks in other precisions, beside that of float32.
        heads: digest of the heads that the variants were measured with; empty without variants.
    """

    folder: Path
    parity: dict[str, float]
    raw: dict[str, float]
    trunk_outputs: tuple[str, ...]
    head_inputs: dict[str, tuple[str, ...]]
    weights: str = ""
    variants: dict[Precision, VariantSpec] = field(default_factory=dict)
    heads: str = ""


def export(model: TrainedModel, folder: Path, tolerance: float = TOLERANCE) -> ExportedRun:
    """Write the graphs and check them against PyTorch.

    Args:
        model: run to export; it is moved to the CPU.
        folder: folder that is empty or does not exist.
        tolerance: largest difference allowed.

    Raises:
        PublishRefused: an output differs by more than `tolerance`, or a decision differs.
    """
    model.module.to("cpu")
    images = test_images(2, model.config.preprocess.size_px, seed=0)
    tokens = _tokens(model, _TEST_PHRASES)
    trunk_outputs = _write_graphs(model, images, tokens, folder)
    _write_golden(folder, model)
    ours, theirs = both_outputs(folder, model, images, tokens)
    parity = {name: difference(name, ours[name], theirs[name]) for name in sorted(ours)}
    raw = {name: float(np.abs(ours[name] - theirs[name]).max()) for name in sorted(ours)}
    refuse_difference(parity, tolerance)
    differing = different_decisions(specs_of(model), ours, theirs, model.config.preprocess.size_px)
    if differing:
        raise PublishRefused(f"ONNX decides otherwise than PyTorch: {'; '.join(differing[:8])}")
    head_inputs = {name: head.inputs for name, head in model.heads.items()}
    return ExportedRun(folder, parity, raw, trunk_outputs, head_inputs, model.digest)


def test_images(count: int, size: int, seed: int) -> Tensor:
    """Return smooth random images in the input range of the model, count x 1 x size x size.

    Two runtimes can be compared without a radiograph, so that none has to be published.
    """
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((count, 1, 9, 9)).astype(np.float32))
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    fine = torch.from_numpy(rng.standard_normal((count, 1, size, size)).astype(np.float32))
    return (smooth + 0.05 * fine).clamp(-1, 1)


def _tokens(model: TrainedModel, phrases: Sequence[str]) -> Tokens | None:
    """Return the tokens of phrases; None if no head reads phrases."""
    if not model.reads_text:
        return None
    return tokenize(model.tokenizer, phrases, model.module.model.text.max_tokens)


def _write_graphs(
    model: TrainedModel, images: Tensor, tokens: Tokens | None, folder: Path
) -> tuple[str, ...]:
    """Write every graph, and return the names of the trunk's outputs.

    Args:
        model: run to export.
        images, tokens: inputs that the graphs are traced with.
        folder: folder of the export.
    """
    (folder / "heads").mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        features = model.features(images)
        head_features = features | phrase_features(model, tokens)
    outputs = tuple(features)
    axes = {name: {0: "images"} for name in ("image", *outputs)}
    _write_onnx(Trunk(model), [images], (["image"], outputs), axes, folder / TRUNK)
    if tokens is not None:
        _write_text_side(model, tokens, folder)
    for name in track(sorted(model.heads), "exporting heads"):
        _write_head(model.heads[name], head_features, folder / "heads" / f"{name}.onnx")
    return outputs


def _write_onnx(
    module: nn.Module,
    inputs: Sequence[Tensor],
    names: tuple[Sequence[str], Sequence[str]],
    axes: Mapping[str, dict[int, str]],
    path: Path,
    embedding_rows: int | None = None,
) -> None:
    """Trace a module, compress its weights and write the graph.

    Args:
        module: module to export.
        inputs: inputs that it is traced with.
        names: names of its inputs and of its outputs.
        axes: input or output -> number and name of each axis of variable length.
        path: file to write.
        embedding_rows: rows of the word-embedding table, if the module has one.
    """
    input_names, output_names = names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own deprecation
        torch.onnx.export(
            module.eval(),
            tuple(inputs),
            str(path),
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes={key: dict(value) for key, value in axes.items()},
            opset_version=OPSET,
            dynamo=False,
            # EVAL would fold batch norms into weights, which then no longer round exactly.
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    graph = onnx.load(path)
    record_parameters(graph, module)
    compress_weights(graph, embedding_rows)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _write_text_side(model: TrainedModel, tokens: Tokens, folder: Path) -> None:
    """Write text encoder and tokenizer."""
    ids = {0: "phrases", 1: "tokens"}
    axes = {"input_ids": ids, "attention_mask": ids, PHRASES: {0: "phrases"}}
    encoder = model.module.g2d.lm_model
    rows = encoder.bert.embeddings.word_embeddings.num_embeddings
    names = (["input_ids", "attention_mask"], [PHRASES])
    inputs = [tokens.input_ids, tokens.attention_mask]
    _write_onnx(encoder, inputs, names, axes, folder / "text.onnx", rows)
    model.tokenizer.backend_tokenizer.no_truncation()
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


class _TupleOutputs(nn.Module):
    """A head whose outputs are a tuple, because the exporter takes no dictionaries."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.head(*inputs).values())


def _write_head(head: Head, features: Mapping[str, Tensor], path: Path) -> None:
    """Write the graph of one head."""
    names, inputs = head.inputs, head.select(features)
    with torch.inference_mode():
        outputs = tuple(head(*inputs))
    axes = {name: {0: "phrases" if name == PHRASES else "images"} for name in names}
    axes |= {name: {0: "images"} for name in outputs}
    if PHRASES in names:
        for name in outputs:
            axes[name] = {0: "images", 1: "phrases"}
    _write_onnx(_TupleOutputs(head), inputs, (names, outputs), axes, path)


def _write_golden(folder: Path, model: TrainedModel) -> None:
    """Write one image, one phrase if a head reads phrases, and the outputs of PyTorch for them."""
    images = test_images(1, model.config.preprocess.size_px, seed=1)
    tokens = _tokens(model, _GOLDEN_PHRASES)
    arrays: dict[str, Any] = {**feeds_of(images, tokens), **torch_outputs(model, images, tokens)}
    np.savez_compressed(folder / "golden.npz", **arrays)


def write_export(exported: ExportedRun) -> None:
    """Write `export.json` beside the graphs."""
    content = {
        "parity": exported.parity,
        "raw": exported.raw,
        "trunk_outputs": exported.trunk_outputs,
        "head_inputs": exported.head_inputs,
        "weights": exported.weights,
        "variants": {name: spec.model_dump() for name, spec in exported.variants.items()},
        "heads": exported.heads,
    }
    (exported.folder / "export.json").write_text(json.dumps(content, indent=2))


def read_export(run: RunFolder) -> ExportedRun:
    """Read the export that `g2d export` wrote into a run.

    Raises:
        PublishRefused: the run was not exported, or the file is damaged.
    """
    path = run.export / "export.json"
    if not path.is_file():
        raise PublishRefused(f"{run.path} was not exported: g2d export {run.path}")
    try:
        return _parsed(run.export, json.loads(path.read_bytes()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        remedy = f"g2d export {run.path}"
        raise PublishRefused(f"{path} is damaged or of another version: {remedy}") from error


def _parsed(folder: Path, content: dict[str, Any]) -> ExportedRun:
    return ExportedRun(
        folder,
        content["parity"],
        content["raw"],
        tuple(content["trunk_outputs"]),
        {name: tuple(inputs) for name, inputs in content["head_inputs"].items()},
        content.get("weights", ""),
        _VARIANTS.validate_python(content.get("variants", {})),
        content.get("heads", ""),
    )
