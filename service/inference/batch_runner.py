"""Batch runner: one batch of radiographs through the trunk and the heads of a version.

    tensors --stack--> trunk, once --features--> each head, on the rows that ask for it --> rows

Rows whose phrases differ run apart in the heads that read phrases. With a remote backend, trunk
and heads are one call for all rows with the same question, so that features stay in the runtime.
"""

import time
from collections.abc import Sequence

import numpy as np

from radiograph.manifest import ModelManifest
from service.backends.base import GLOBAL_FEATURES, Backend, on_behalf_of
from service.inference.types import PHRASE_FEATURES, BatchItem, Features, RawOutputs
from service.observability.observer import Observer


class BatchRunner:
    """Runs batches of one version. Safe to call from several threads.

    Args:
        name: the version, as reported to the observer.
        manifest: inputs of the heads.
        backend: runs the graphs.
        observer: notified of every batch.
    """

    def __init__(
        self, name: str, manifest: ModelManifest, backend: Backend, observer: Observer
    ) -> None:
        self._name = name
        self._manifest = manifest
        self._backend = backend
        self._observer = observer

    def run(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """Run one batch and return the outputs of each item, in order. Blocks.

        Raises:
            BackendFailure: a graph failed.
        """
        start = time.perf_counter()
        alone = all(item.alone for item in batch)
        with on_behalf_of(*(item.request_id for item in batch), alone=alone):
            run = self._run_remote if self._backend.remote else self._run_trunk_and_heads
            outputs = run(batch)
        self._observer.batch(self._name, len(batch), time.perf_counter() - start)
        return outputs

    def run_blank(self, size: int) -> None:
        """Run `size` black images through every head that reads no phrase, to time a batch."""
        side = self._manifest.preprocess.size_px
        names = [
            name
            for name, head in self._manifest.heads.items()
            if PHRASE_FEATURES not in head.inputs
        ]
        self._backend.infer(np.zeros((size, 1, side, side), np.float32), names)

    def _run_trunk_and_heads(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """Run the trunk over the whole batch as far as its heads need it, then each head."""
        start = time.perf_counter()
        inputs = {name for item in batch for h in item.plan.heads.values() for name in h.inputs}
        images = np.stack([item.tensor for item in batch])  # B x 1 x size x size
        features = self._backend.trunk(images, inputs - {PHRASE_FEATURES} | {GLOBAL_FEATURES})
        middle = time.perf_counter()
        outputs: list[dict[str, Features]] = [{} for _ in batch]
        for name, rows in _rows_by_head(batch):
            raw = self._backend.head(name, self._head_inputs(name, rows, batch, features))
            for index, row in enumerate(rows):
                outputs[row][name] = _row(raw, index)
        end = time.perf_counter()
        timings = {"trunk": (middle - start) * 1e3, "heads": (end - middle) * 1e3}
        vectors = np.asarray(features[GLOBAL_FEATURES])  # B x D, fetched from the device once
        return [RawOutputs(heads, vectors[row], timings) for row, heads in enumerate(outputs)]

    def _run_remote(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """Make one call for all rows with the same heads and phrases."""
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for row, item in enumerate(batch):
            groups.setdefault((tuple(item.plan.heads), item.plan.phrases), []).append(row)
        outputs: dict[int, RawOutputs] = {}
        for (names, _), rows in groups.items():
            start = time.perf_counter()
            images = np.stack([batch[row].tensor for row in rows])
            answers = self._backend.infer(images, names, batch[rows[0]].phrase_features)
            timings = {"trunk": (time.perf_counter() - start) * 1e3, "heads": 0.0}
            for index, row in enumerate(rows):
                heads = {name: _row(raw, index) for name, raw in answers.heads.items()}
                vector = answers.features[GLOBAL_FEATURES][index]
                outputs[row] = RawOutputs(heads, vector, timings)
        return [outputs[row] for row in range(len(batch))]

    def _head_inputs(
        self, head: str, rows: list[int], batch: Sequence[BatchItem], features: Features
    ) -> Features:
        """Return the inputs of a head for some rows of a batch, all with the same phrases."""
        inputs: Features = {}
        for name in self._manifest.heads[head].inputs:
            phrase_features = batch[rows[0]].phrase_features
            if name == PHRASE_FEATURES and phrase_features is not None:
                inputs[name] = phrase_features
            else:  # a whole array stays on the device; indexing would fetch it
                whole = len(rows) == len(batch)
                inputs[name] = features[name] if whole else features[name][rows]
        return inputs


def _rows_by_head(batch: Sequence[BatchItem]) -> list[tuple[str, list[int]]]:
    """Return (head, rows) pairs to run; rows whose request is over are left out."""
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for row, item in enumerate(batch):
        if item.deadline.over():
            continue
        for name, head in item.plan.heads.items():
            phrases = item.plan.phrases if PHRASE_FEATURES in head.inputs else ()
            groups.setdefault((name, phrases), []).append(row)
    return [(name, rows) for (name, _), rows in groups.items()]


def _row(arrays: Features, index: int) -> Features:
    """Return one image of a batch."""
    return {name: value[index] for name, value in arrays.items()}
