"""A graph that runs beside another does so in one thread, and answers the same."""

from pathlib import Path

import numpy as np

from radiograph.repository.repository import Repository
from service.backends.base import on_behalf_of
from service.backends.ort import OrtBackend, Running, Sessions
from service.backends.ort_options import OrtOptions


def test_a_run_knows_whether_others_run_beside_it() -> None:
    running = Running()
    with running.one_more() as first, running.one_more() as second:
        assert (first, second) == (False, True)
    with running.one_more() as beside:
        assert not beside


def test_a_run_knows_whether_other_requests_are_inside() -> None:
    running = Running()
    with on_behalf_of("one", alone=False), running.one_more() as beside:
        assert beside
    with on_behalf_of("one"), running.one_more() as beside:
        assert not beside


def test_alone_and_beside_others_a_graph_answers_the_same(tiny_models: Path) -> None:
    repository = Repository(tiny_models)
    sessions = Sessions(OrtOptions(threads=2, narrow=True))
    folder, manifest = repository.folder("tiny", 1), repository.load_manifest("tiny", 1)
    backend = OrtBackend(folder, manifest, sessions)
    image = np.random.default_rng(0).normal(0, 0.5, (3, 1, 64, 64)).astype(np.float32)
    alone = backend.answers(image, ["anatomy"])
    with sessions.running.one_more():
        beside = backend.answers(image, ["anatomy"])
    assert np.allclose(alone.heads["anatomy"]["logits"], beside.heads["anatomy"]["logits"])
    backend.close()
