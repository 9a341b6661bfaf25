"""The tiny version with a detect head of the form `candidates`: the boxes of its grid as a list."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from radiograph.manifest import HeadSpec
from radiograph.repository.integrity.version_files import digest_files
from radiograph.repository.repository import Repository
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.tiny_version import CELLS, HEADS

COUNT = CELLS * CELLS


def spec(form: str = "candidates") -> HeadSpec:
    """Return the manifest of the head, with a form that need not be that of its graph."""
    return HeadSpec.model_validate({**HEADS["boxes"].model_dump(), "form": form})


def publish(root: Path, form: str = "candidates", tolerance: float = 1e-4) -> int:
    """Publish the version as `stable` of the tiny model.

    Args:
        root: the repository.
        form: form in the manifest, whatever the graph gives.
        tolerance: tolerance of the golden outputs.
    """
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        tiny_version.write_files(stage)
        (stage / "heads/boxes.onnx").write_bytes(graph())
        np.savez(stage / "golden.npz", **tiny_version.golden(stage))  # type: ignore[arg-type]
        digests = digest_files(stage)
        heads = {**HEADS, "boxes": spec(form)}
        return Repository(root).publish(
            tiny_version.NAME,
            stage,
            lambda number: tiny_version.manifest(
                tiny_version.NAME, number, digests, tolerance
            ).model_copy(update={"heads": heads}),
            "stable",
        )


def graph() -> bytes:
    """Build the graph: `pixel_embeddings` -> `logits`, B x 1 x 64, and `boxes`, B x 64 x 4."""
    y, x = (np.mgrid[:CELLS, :CELLS] / CELLS).reshape(2, -1)
    side = 1 / CELLS
    cells = np.stack([x, y, x + side, y + side], axis=1).astype(np.float32)
    constants = {
        "first": np.array([0]),
        "slope": np.float32(40),
        "half_slope": np.float32(20),
        "flat": np.array([0, 1, COUNT]),
        "zero": np.float32(0),
        "cells": cells[None],
    }
    nodes = [
        helper.make_node("Gather", ["pixel_embeddings", "first"], ["bright"], axis=1),
        helper.make_node("Mul", ["bright", "slope"], ["sloped"]),
        helper.make_node("Sub", ["sloped", "half_slope"], ["scores"]),
        helper.make_node("Reshape", ["scores", "flat"], ["logits"]),
        helper.make_node("Transpose", ["logits"], ["column"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["column", "zero"], ["empty"]),
        helper.make_node("Add", ["empty", "cells"], ["boxes"]),
    ]
    shapes = {
        "pixel_embeddings": ("B", 4, CELLS, CELLS),
        "logits": ("B", 1, COUNT),
        "boxes": ("B", COUNT, 4),
    }
    floats = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    made = helper.make_graph(
        nodes,
        "candidates",
        [floats["pixel_embeddings"]],
        [floats["logits"], floats["boxes"]],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(made, ir_version=8, opset_imports=[opset])
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
