"""The smallest files that make a valid version, written by hand: no `onnx`, no runtime.

For tests of the repository and the command, which never run a graph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from radiograph.manifest import ModelManifest
from radiograph.repository.integrity.version_files import digest_files

GRAPH = bytes.fromhex("0808 3a03 1201 67")
"""ModelProto: ir_version (field 1) = 8, graph (field 7) = {name (field 2): "g"}."""

NAME = "small"


def write_stage(folder: Path, mark: bytes = b"golden") -> Path:
    """Write all files of a version but its manifest; `mark` makes versions differ."""
    (folder / "heads").mkdir(parents=True)
    (folder / "trunk.onnx").write_bytes(GRAPH)
    (folder / "heads" / "findings.onnx").write_bytes(GRAPH)
    (folder / "golden.npz").write_bytes(mark)
    return folder


def fields(files: dict[str, str], version: int = 1) -> dict[str, Any]:
    """Return the fields of a manifest of these files, as JSON values."""
    head = {
        "kind": "classify",
        "file": "heads/findings.onnx",
        "inputs": ["global_features"],
        "labels": [{"name": "Pneumonia"}],
    }
    return {
        "name": NAME,
        "version": version,
        "created": "2026-11-24T00:00:00+00:00",
        "intended_use": "tests",
        "licence": "Apache-2.0",
        "preprocess": {},
        "trunk": {"file": "trunk.onnx", "outputs": ["global_features"]},
        "heads": {"findings": head},
        "golden": {"file": "golden.npz", "tolerance": 1e-3},
        "files": files,
        "provenance": {"commit": "0" * 40, "configuration": {}, "data": []},
    }


def manifest_of(stage: Path, **changes: Any) -> Callable[[int], ModelManifest]:
    """Return the function that `Repository.publish` calls with the number of the version."""
    return lambda number: ModelManifest.model_validate(
        {**fields(digest_files(stage), number), **changes}
    )
