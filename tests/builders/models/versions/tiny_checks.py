"""A head of checks for the tiny version: bright images look inverted, dark ones mirrored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from radiograph.manifest import CHECK, HeadSpec, Label
from radiograph.repository.head_publishing import NewHead
from radiograph.repository.repository import Repository
from tests.builders.models.versions import tiny_version

SPEC = HeadSpec(
    kind=CHECK,
    file="heads/checks.onnx",
    inputs=("global_features",),
    labels=(Label(name="inverted", threshold=0.9), Label(name="mirrored", threshold=0.9)),
)
"""Manifest entry; the graph is that of `findings`."""


@contextmanager
def new_head(root: Path) -> Iterator[NewHead]:
    """Yield the head in a temporary folder, for the stable version of a repository."""
    repository = Repository(root)
    number = repository.resolve(tiny_version.NAME, "stable")
    folder = repository.folder(tiny_version.NAME, number)
    with np.load(folder / "golden.npz") as golden, TemporaryDirectory() as temporary:
        stage = Path(temporary)
        (stage / "heads").mkdir()
        (stage / SPEC.file).write_bytes((folder / "heads/findings.onnx").read_bytes())
        np.savez(stage / "golden.npz", **{"checks.logits": golden["findings.logits"]})
        yield NewHead("checks", SPEC, stage)
