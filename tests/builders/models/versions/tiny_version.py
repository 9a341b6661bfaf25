"""A real model version, small enough to build in a test and predictable enough to check.

image 64 x 64 --trunk--> decoder_4 (16 x 16): brightness 0 to 1, averaged over 4 x 4
                         pixel_embeddings (4 x 8 x 8): bright, dark, viewer's left, right
                         global_embedding, global_features (4): their means
phrase --text--> phrase_features (4): the sum of its words, each one of the same four

findings  Lung opacity: mean brightness over a half; No finding: the opposite
anatomy   Left lung: where it is bright; Right lung: where it is dark
boxes     Lung opacity: each bright cell of the 8 x 8 grid
regions, similarity    where the words of the phrase hold; `aligned` and `zero_shot`
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from radiograph.manifest import (
    GoldenSpec,
    HeadSpec,
    Label,
    MaskCleaning,
    ModelManifest,
    OutOfDomainSpec,
    Precision,
    Provenance,
    Task,
    TextSpec,
    TrunkSpec,
    VariantSpec,
)
from radiograph.preprocess import PreprocessSpec
from radiograph.repository.repository import Repository
from radiograph.terminology.codes import code_of

NAME = "tiny"
SIZE_PX = 64
CELLS = 8
MAX_TOKENS = 12
PREPROCESS = PreprocessSpec(size_px=SIZE_PX, low_percentile=0, high_percentile=100)
OUT_OF_DOMAIN = 0.6
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "bright", "dark", "left", "right")
_FIRST_WORD = 4

Arrays = dict[str, NDArray[Any]]
Shape = Sequence[int | str]
Change = Callable[[Path], None]


def publish(
    root: Path,
    alias: str | None = "stable",
    name: str = NAME,
    tolerance: float = 1e-4,
    change: Change | None = None,
    clean: MaskCleaning | None = None,
    preprocess: PreprocessSpec | None = None,
    variants: Mapping[Precision, VariantSpec] | None = None,
    golden_spec: GoldenSpec | None = None,
) -> int:
    """Publish one more version of the tiny model.

    Args:
        root: the repository.
        alias: alias to point to the version, or None.
        name: the model.
        tolerance: tolerance of the golden outputs.
        change: edits the files before they are digested, such as to make a faulty version.
        clean: cleaning of both masks, or None.
        preprocess: preprocessing other than that of `manifest`, of `SIZE_PX` pixels.
        variants: trunks in another precision, whose files `change` writes; none by default.
        golden_spec: golden outputs other than those of `manifest`.
    """
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        write_files(stage)
        if change is not None:
            change(stage)
        digests = _digests(stage)

        def numbered(number: int) -> ModelManifest:
            made = manifest(name, number, digests, tolerance, clean)
            given = {"preprocess": preprocess, "variants": variants, "golden": golden_spec}
            return made.model_copy(update={k: v for k, v in given.items() if v is not None})

        return Repository(root).publish(name, stage, numbered, alias)


def write_files(folder: Path) -> None:
    """Write every file of the version but its manifest."""
    (folder / "heads").mkdir()
    for file, graph in _graphs().items():
        (folder / file).write_bytes(graph)
    _tokenizer().save(str(folder / "tokenizer.json"))
    np.savez(folder / "statistics.npz", mean=np.full(4, 0.5), precision=4 * np.eye(4))
    np.savez(folder / "golden.npz", **golden(folder))  # type: ignore[arg-type] # numpy's stub
    (folder / "MODEL_CARD.md").write_text("# Tiny\n\nFor tests.\n")


def manifest(
    name: str,
    number: int,
    digests: dict[str, str],
    tolerance: float,
    clean: MaskCleaning | None = None,
) -> ModelManifest:
    """Return the manifest of a tiny version; `clean` is the cleaning of both masks."""
    anatomy = HEADS["anatomy"]
    labels = tuple(label.model_copy(update={"clean": clean}) for label in anatomy.labels)
    return ModelManifest(
        name=name,
        version=number,
        created="2026-01-01T00:00:00Z",
        intended_use="tests",
        licence="Apache-2.0",
        preprocess=PREPROCESS,
        trunk=TrunkSpec(file="trunk.onnx", outputs=TRUNK_OUTPUTS),
        text=TextSpec(file="text.onnx", tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
        heads={**HEADS, "anatomy": anatomy.model_copy(update={"labels": labels})},
        out_of_domain=OutOfDomainSpec(
            file="statistics.npz", threshold=OUT_OF_DOMAIN, threshold_rule="made up"
        ),
        golden=GoldenSpec(file="golden.npz", tolerance=tolerance),
        files=digests,
        provenance=Provenance(commit="0" * 40, configuration={}, data=()),
    )


def golden(folder: Path, trunk: str = "trunk.onnx") -> Arrays:
    """Return the golden inputs, and the outputs of ONNX Runtime for them."""
    ramp = np.linspace(-1, 1, SIZE_PX, dtype=np.float32)
    ids = np.array([[2, 4, 6, 3], [2, 5, 3, 0]], dtype=np.int64)
    arrays: Arrays = {
        "image": (ramp[:, None] * ramp)[None, None],
        "input_ids": ids,
        "attention_mask": (ids != 0).astype(np.int64),
    }
    features = run_graph(folder / trunk, {"image": arrays["image"]})
    arrays |= {f"trunk.{name}": value for name, value in features.items()}
    text = {name: arrays[name] for name in ("input_ids", "attention_mask")}
    phrases = run_graph(folder / "text.onnx", text)
    arrays |= {f"text.{name}": value for name, value in phrases.items()}
    for name, head in HEADS.items():
        given = {item: (features | phrases)[item] for item in head.inputs}
        raw = run_graph(folder / head.file, given)
        arrays |= {f"{name}.{output}": value for output, value in raw.items()}
    return arrays


def _label(name: str) -> Label:
    return Label(name=name, code=code_of(name))


TRUNK_OUTPUTS = ("decoder_4", "pixel_embeddings", "global_embedding", "global_features")
_GROUND_INPUTS = ("pixel_embeddings", "phrase_features")
HEADS = {
    "findings": HeadSpec(
        kind=Task.CLASSIFY,
        file="heads/findings.onnx",
        inputs=("global_features",),
        labels=(_label("Lung opacity"), _label("No finding")),
    ),
    "anatomy": HeadSpec(
        kind=Task.SEGMENT,
        file="heads/anatomy.onnx",
        inputs=("decoder_4",),
        labels=(_label("Left lung"), _label("Right lung")),
    ),
    "boxes": HeadSpec(
        kind=Task.DETECT,
        file="heads/boxes.onnx",
        inputs=("pixel_embeddings",),
        labels=(_label("Lung opacity"),),
    ),
    "regions": HeadSpec(
        kind=Task.GROUND, file="heads/regions.onnx", inputs=_GROUND_INPUTS, method="aligned"
    ),
    "similarity": HeadSpec(
        kind=Task.GROUND, file="heads/similarity.onnx", inputs=_GROUND_INPUTS, method="zero_shot"
    ),
}


def _graphs() -> dict[str, bytes]:
    return {
        "trunk.onnx": _trunk(),
        "text.onnx": _text(),
        "heads/findings.onnx": _findings(),
        "heads/anatomy.onnx": _anatomy(),
        "heads/boxes.onnx": _boxes(),
        "heads/regions.onnx": _regions(scale=12.0),
        "heads/similarity.onnx": _regions(scale=6.0),
    }


def _trunk() -> bytes:
    left = np.zeros((1, 1, CELLS, CELLS), dtype=np.float32)
    left[..., : CELLS // 2] = 1
    nodes = [
        _node("Mul", "image half", "halved"),
        _node("Add", "halved half", "brightness"),
        _pool("brightness", "decoder_4", 4),
        _pool("brightness", "bright", 8),
        _node("Sub", "one bright", "dark"),
        _node("Mul", "bright zero", "empty"),
        _node("Add", "empty left_half", "left"),
        _node("Add", "empty right_half", "right"),
        _node("Concat", "bright dark left right", "pixel_embeddings", axis=1),
        _node("GlobalAveragePool", "pixel_embeddings", "means"),
        _node("Flatten", "means", "global_features"),
        _node("Identity", "global_features", "global_embedding"),
    ]
    values = {"half": 0.5, "one": 1.0, "zero": 0.0, "left_half": left, "right_half": 1 - left}
    outputs: dict[str, Shape] = {
        "decoder_4": ("B", 1, 16, 16),
        "pixel_embeddings": ("B", 4, CELLS, CELLS),
        "global_embedding": ("B", 4),
        "global_features": ("B", 4),
    }
    return _model(nodes, {"image": ("B", 1, SIZE_PX, SIZE_PX)}, outputs, values)


def _text() -> bytes:
    table = np.zeros((len(WORDS), 4), dtype=np.float32)
    table[_FIRST_WORD:] = np.eye(4)
    nodes = [
        _node("Gather", "table input_ids", "words"),
        _node("Cast", "attention_mask", "mask", to=TensorProto.FLOAT),
        _node("Unsqueeze", "mask last", "weights"),
        _node("Mul", "words weights", "read"),
        _node("ReduceSum", "read tokens", "phrase_features", keepdims=0),
    ]
    values = {"table": table, "last": np.array([2]), "tokens": np.array([1])}
    inputs: dict[str, Shape] = {"input_ids": ("P", "T"), "attention_mask": ("P", "T")}
    return _model(nodes, inputs, {"phrase_features": ("P", 4)}, values, TensorProto.INT64)


def _findings() -> bytes:
    weight = np.zeros((4, 2), dtype=np.float32)
    weight[0] = 20, -20
    nodes = [_node("Gemm", "global_features weight bias", "logits")]
    values = {"weight": weight, "bias": np.array([-10, 10], dtype=np.float32)}
    return _model(nodes, {"global_features": ("B", 4)}, {"logits": ("B", 2)}, values)


def less_sure(graph: bytes) -> bytes:
    """Return the graph of `findings` with every logit 3 higher: a sound graph, but another one."""
    model = onnx.load_from_string(graph)
    (bias,) = (item for item in model.graph.initializer if item.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(3), "bias"))
    data: bytes = model.SerializeToString()
    return data


def _anatomy() -> bytes:
    nodes = [
        _node("Mul", "decoder_4 slope", "sloped"),
        _node("Sub", "sloped half_slope", "bright"),
        _node("Neg", "bright", "dark"),
        _node("Concat", "bright dark", "logits", axis=1),
    ]
    values = {"slope": 40.0, "half_slope": 20.0}
    return _model(nodes, {"decoder_4": ("B", 1, 16, 16)}, {"logits": ("B", 2, 16, 16)}, values)


def _boxes() -> bytes:
    nodes = [
        _node("Gather", "pixel_embeddings first", "bright", axis=1),
        _node("Mul", "bright slope", "sloped"),
        _node("Sub", "sloped half_slope", "logits"),
        _node("Unsqueeze", "logits edges", "cells"),
        _node("Mul", "cells zero", "empty"),
        _node("Add", "empty half_cells", "distances"),
    ]
    values = {
        "first": np.array([0]),
        "slope": 40.0,
        "half_slope": 20.0,
        "edges": np.array([2]),
        "zero": 0.0,
        "half_cells": np.full((1, 1, 4, 1, 1), 0.5 / CELLS, dtype=np.float32),
    }
    outputs: dict[str, Shape] = {
        "logits": ("B", 1, CELLS, CELLS),
        "distances": ("B", 1, 4, CELLS, CELLS),
    }
    return _model(nodes, {"pixel_embeddings": ("B", 4, CELLS, CELLS)}, outputs, values)


def _regions(scale: float) -> bytes:
    nodes = [
        _node("Reshape", "pixel_embeddings flat", "pixels"),
        _node("MatMul", "phrase_features pixels", "likeness"),
        _node("Mul", "likeness scale", "scaled"),
        _node("Sub", "scaled half_scale", "scores"),
        _node("ReduceMax", "scores", "presence", axes=[2], keepdims=0),
        _node("Shape", "scores", "shape", end=2),
        _node("Concat", "shape cells", "map_shape", axis=0),
        _node("Reshape", "scores map_shape", "logits"),
    ]
    values = {
        "flat": np.array([0, 4, CELLS * CELLS]),
        "cells": np.array([CELLS, CELLS]),
        "scale": scale,
        "half_scale": scale / 2,
    }
    inputs: dict[str, Shape] = {
        "pixel_embeddings": ("B", 4, CELLS, CELLS),
        "phrase_features": ("P", 4),
    }
    outputs: dict[str, Shape] = {"logits": ("B", "P", CELLS, CELLS), "presence": ("B", "P")}
    return _model(nodes, inputs, outputs, values)


def _node(operator: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


def _pool(source: str, output: str, side: int) -> NodeProto:
    shape = [side, side]
    return _node("AveragePool", source, output, kernel_shape=shape, strides=shape)


def _model(
    nodes: list[NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    values: dict[str, Any],
    input_type: int = TensorProto.FLOAT,
) -> bytes:
    """Return a serialised graph; `values` are its constants, a float being a scalar of float32."""
    constants = [
        numpy_helper.from_array(
            np.array(value, dtype=np.float32 if isinstance(value, float) else None), name
        )
        for name, value in values.items()
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, input_type, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, ir_version=8, opset_imports=[opset])
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _tokenizer() -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(MAX_TOKENS)  # as published tokenizers do; it must not be silent
    tokenizer.enable_padding()
    return tokenizer


def run_graph(path: Path, feeds: Arrays) -> Arrays:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def copy(source: Path, target: Path) -> Path:
    """Copy a repository, so that one test may damage it."""
    shutil.copytree(source, target)
    return target
