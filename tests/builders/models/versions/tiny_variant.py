"""The tiny version with a variant: a second trunk, and golden outputs recorded with it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from radiograph.manifest import GoldenSpec, VariantSpec
from tests.builders.models.versions import tiny_version

TRUNK, GOLDEN = "trunk_int8.onnx", "golden_int8.npz"
TOLERANCE = 1e-4


def publish(
    root: Path, alias: str | None = "stable", change: tiny_version.Change = lambda _: None
) -> int:
    """Publish a version whose variant finds every image a little less dark.

    Args:
        root: the repository.
        alias: alias to point to the version, or None.
        change: edits the files of version and variant before they are digested.
    """

    def write(stage: Path) -> None:
        _write_variant(stage)
        change(stage)

    recorded = GoldenSpec(file=GOLDEN, tolerance=TOLERANCE, feature_maps=False)
    spec = VariantSpec(trunk=TRUNK, golden=recorded, calibration="made up")
    return tiny_version.publish(root, alias, change=write, variants={"int8": spec})


def _write_variant(stage: Path) -> None:
    model = onnx.load(stage / "trunk.onnx")
    (one,) = (item for item in model.graph.initializer if item.name == "one")
    one.CopyFrom(numpy_helper.from_array(np.asarray(0.99, np.float32), "one"))
    onnx.save(model, stage / TRUNK)
    arrays = tiny_version.golden(stage, TRUNK)
    kept = {k: v for k, v in arrays.items() if not k.startswith("trunk.") or v.ndim == 2}
    np.savez(stage / GOLDEN, **kept)  # type: ignore[arg-type] # numpy's stub


def shift_golden(stage: Path) -> None:
    """Record other golden outputs than the variant gives, by more than the tolerance."""
    with np.load(stage / GOLDEN) as archive:
        arrays = dict(archive)
    arrays["findings.logits"] += 0.01
    np.savez(stage / GOLDEN, **arrays)


def change_golden_shape(stage: Path) -> None:
    """Record golden outputs of another shape."""
    with np.load(stage / GOLDEN) as archive:
        arrays = dict(archive)
    arrays["findings.logits"] = arrays["findings.logits"][:, :1]
    np.savez(stage / GOLDEN, **arrays)


def swap_graph(stage: Path) -> None:
    """Make the trunk of the variant a head, with other inputs and outputs."""
    (stage / TRUNK).write_bytes((stage / "heads/findings.onnx").read_bytes())


def break_graph(stage: Path) -> None:
    """Give the trunk of the variant an operator that no runtime has."""
    model = onnx.load(stage / TRUNK)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, stage / TRUNK)
