"""A batch runs the trunk once, and every item gets the outputs that it would get alone."""

from pathlib import Path

import numpy as np
import pytest

from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.deadline import Deadline
from service.inference.batch_runner import BatchRunner
from service.inference.types import BatchItem, Plan
from service.observability.observer import NullObserver
from tests.builders.service.backends.fake_backend import FakeBackend


class BatchLog(NullObserver):
    """Records the batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []

    def batch(self, model: str, size: int, seconds: float) -> None:
        self.batches.append((model, size))


@pytest.fixture
def manifest(tiny_models: Path) -> ModelManifest:
    return Repository(tiny_models).load_manifest("tiny", 1)


@pytest.fixture
def backend(manifest: ModelManifest) -> FakeBackend:
    return FakeBackend(manifest)


@pytest.fixture
def log() -> BatchLog:
    return BatchLog()


@pytest.fixture
def runner(manifest: ModelManifest, backend: FakeBackend, log: BatchLog) -> BatchRunner:
    return BatchRunner("tiny/1", manifest, backend, log)


def item(
    manifest: ModelManifest, value: float, *heads: str, phrase: float | None = None, **changes: bool
) -> BatchItem:
    """Return a uniform image of a value, with a plan of heads and one phrase."""
    plan = Plan({name: manifest.heads[name] for name in heads}, (), ())
    features = None
    if phrase is not None:
        plan = Plan(plan.heads, (), (str(phrase),))
        features = np.full((1, 4), phrase, np.float32)
    deadline = Deadline(0 if changes.get("over") else 60)
    tensor = np.full((1, 64, 64), value, np.float32)
    alone = changes.get("alone", True)
    return BatchItem(tensor, plan, features, deadline, f"id-{value}", alone=alone)


def logits(outputs: object, head: str) -> float:
    return float(outputs.heads[head]["logits"])  # type: ignore[attr-defined]


def test_the_trunk_runs_once_and_each_head_on_its_rows(
    runner: BatchRunner, backend: FakeBackend, manifest: ModelManifest, log: BatchLog
) -> None:
    batch = [
        item(manifest, 1, "findings"),
        item(manifest, 2, "findings", "anatomy"),
        item(manifest, 3, "anatomy"),
    ]
    first, second, third = runner.run(batch)
    assert backend.calls == [("trunk", 3), ("findings", 2), ("anatomy", 2)]
    assert (logits(first, "findings"), logits(second, "findings")) == (1, 2)
    assert (logits(second, "anatomy"), logits(third, "anatomy")) == (2, 3)
    assert [list(raw.heads) for raw in (first, third)] == [["findings"], ["anatomy"]]
    assert [raw.global_features.tolist() for raw in (first, third)] == [[1] * 4, [3] * 4]
    assert log.batches == [("tiny/1", 3)]


def test_rows_with_different_phrases_run_apart_in_heads_that_read_them(
    runner: BatchRunner, backend: FakeBackend, manifest: ModelManifest
) -> None:
    batch = [
        item(manifest, 1, "regions", "findings", phrase=10),
        item(manifest, 2, "regions", "findings", phrase=20),
        item(manifest, 3, "regions", "findings", phrase=10),
    ]
    raws = runner.run(batch)
    assert backend.calls == [("trunk", 3), ("regions", 2), ("findings", 3), ("regions", 1)]
    assert [logits(raw, "regions") for raw in raws] == [10, 40, 30]


def test_the_trunk_computes_no_more_than_the_heads_read(
    runner: BatchRunner, backend: FakeBackend, manifest: ModelManifest
) -> None:
    runner.run([item(manifest, 1, "findings"), item(manifest, 2, "regions", phrase=1)])
    assert backend.requested == [{"global_features", "pixel_embeddings"}]


def test_an_item_that_is_over_runs_through_no_head(
    runner: BatchRunner, backend: FakeBackend, manifest: ModelManifest
) -> None:
    over = item(manifest, 1, "findings", over=True)
    first, second = runner.run([over, item(manifest, 2, "findings")])
    assert backend.calls == [("trunk", 2), ("findings", 1)]
    assert (first.heads, logits(second, "findings")) == ({}, 2)


def test_the_backend_knows_the_requests_and_whether_they_are_alone(
    runner: BatchRunner, backend: FakeBackend, manifest: ModelManifest
) -> None:
    runner.run([item(manifest, 1, "findings")])
    runner.run([item(manifest, 2, "findings"), item(manifest, 3, "findings", alone=False)])
    assert backend.on_behalf == [(("id-1",), True), (("id-2", "id-3"), False)]


def test_a_remote_backend_gets_one_call_for_each_question(
    manifest: ModelManifest, log: BatchLog
) -> None:
    backend = FakeBackend(manifest, remote=True)
    batch = [
        item(manifest, 1, "regions", phrase=10),
        item(manifest, 2, "findings"),
        item(manifest, 3, "regions", phrase=10),
        item(manifest, 4, "regions", phrase=20),
    ]
    raws = BatchRunner("tiny/1", manifest, backend, log).run(batch)
    calls = [size for name, size in backend.calls if name == "trunk"]
    assert calls == [2, 1, 1]
    assert [logits(raws[row], "regions") for row in (0, 2, 3)] == [10, 30, 80]
    assert logits(raws[1], "findings") == 2
    assert [raw.global_features[0] for raw in raws] == [1, 2, 3, 4]


def test_a_blank_batch_runs_every_head_that_reads_no_phrase(
    runner: BatchRunner, backend: FakeBackend
) -> None:
    runner.run_blank(5)
    assert backend.calls == [("trunk", 5), ("findings", 5), ("anatomy", 5), ("boxes", 5)]
