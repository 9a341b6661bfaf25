"""Faults of the tiny version: in the stage before it is published, and on the disk afterwards."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Damage = Callable[[Path, int], None]

# Faults that are published: the digests hold, but the version does not answer as it should.


def shift_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    arrays["findings.logits"] += 0.01
    np.savez(stage / "golden.npz", **arrays)


def drop_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    del arrays["boxes.distances"]
    np.savez(stage / "golden.npz", **arrays)


def nan_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    arrays["trunk.global_features"][:] = np.nan
    np.savez(stage / "golden.npz", **arrays)


def swap_heads(stage: Path) -> None:
    (stage / "heads/anatomy.onnx").write_bytes((stage / "heads/findings.onnx").read_bytes())


def break_graph(stage: Path) -> None:
    model = onnx.load(stage / "heads/boxes.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, stage / "heads/boxes.onnx")


def break_tokenizer(stage: Path) -> None:
    (stage / "tokenizer.json").write_text("{}")


def break_statistics(stage: Path) -> None:
    np.savez(stage / "statistics.npz", mean=np.zeros(4), precision=np.eye(3))


def pickle_statistics(stage: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(stage / "statistics.npz", mean=objects, precision=np.eye(4))


# Damage to a version that was published.


def damage(root: Path, version: int) -> None:
    with (root / f"tiny/{version}/heads/findings.onnx").open("ab") as file:
        file.write(b"\0")


def remove(root: Path, version: int) -> None:
    shutil.rmtree(root / f"tiny/{version}")


def remove_trunk(root: Path, version: int) -> None:
    (root / f"tiny/{version}/trunk.onnx").unlink()


def change_golden_shape(root: Path, version: int) -> None:
    """Write other golden outputs with a digest that fits them."""
    folder = root / f"tiny/{version}"
    with np.load(folder / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["findings.logits"] = arrays["findings.logits"][:, :1]
    np.savez(folder / "golden.npz", **arrays)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["golden.npz"] = digest_of(folder / "golden.npz")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    pin_anew(root, version)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pin_anew(root: Path, version: int) -> None:
    """Replace the pin of a version by the digest that it has now."""
    index = root / "tiny/index.json"
    pins = json.loads(index.read_text())
    pins["digests"][str(version)] = digest_of(root / f"tiny/{version}/manifest.json")
    index.write_text(json.dumps(pins))


def edit_manifest(root: Path, version: int, edit: Callable[[Any], None]) -> None:
    """Edit the manifest of a version as JSON, and pin it anew."""
    path = root / f"tiny/{version}/manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
    pin_anew(root, version)


def find_everything(root: Path, version: int) -> None:
    """Set every threshold in the manifest to 0, so that every finding is positive."""
    path = root / f"tiny/{version}/manifest.json"
    manifest = json.loads(path.read_text())
    for head in manifest["heads"].values():
        for label in head["labels"]:
            label["threshold"] = 0.0
    path.write_text(json.dumps(manifest))


def truncate_manifest(root: Path, version: int) -> None:
    os.truncate(root / f"tiny/{version}/manifest.json", 100)


def add_link(root: Path, version: int) -> None:
    (root / f"tiny/{version}/extra").symlink_to("/etc/passwd")


DAMAGES: dict[str, Damage] = {
    "damaged": damage,
    "removed": remove,
    "without trunk": remove_trunk,
    "wrong shape": change_golden_shape,
    "other thresholds": find_everything,
    "half a manifest": truncate_manifest,
    "a link": add_link,
}
