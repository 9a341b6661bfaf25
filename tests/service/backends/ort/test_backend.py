"""A backend of ONNX Runtime gives the same outputs wherever the features stay."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from radiograph.repository.repository import Repository
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import DeviceArray
from service.errors import BackendFailure
from tests.builders.service.backends.ort_graphs import graph_cache


@pytest.fixture
def backend(tiny_models: Path) -> Iterator[OrtBackend]:
    yield from made(tiny_models)


@pytest.fixture
def bound(tiny_models: Path) -> Iterator[OrtBackend]:
    """Backend whose features stay with the runtime, as on a GPU."""
    yield from made(tiny_models, on_device=True)


def made(models: Path, **options: bool) -> Iterator[OrtBackend]:
    repository = Repository(models)
    folder, manifest = repository.folder("tiny", 1), repository.load_manifest("tiny", 1)
    backend = OrtBackend(folder, manifest, graph_cache(1, **options))
    yield backend
    backend.close()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (3, 1, 64, 64)).astype(np.float32)


def test_the_trunk_gives_the_requested_outputs_only(backend: OrtBackend, image: np.ndarray) -> None:
    every = backend.trunk(image)
    assert len(every) == 4
    first = backend.trunk(image, ["decoder_4"])
    assert list(first) == ["decoder_4"]
    assert np.array_equal(first["decoder_4"], every["decoder_4"])


def test_bound_features_stay_with_the_runtime_until_they_are_read(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    expected, features = backend.trunk(image), bound.trunk(image)
    assert all(isinstance(value, DeviceArray) for value in features.values())
    for name, value in expected.items():
        assert np.array_equal(features[name], value)
        assert np.array_equal(features[name][[2, 0]], value[[2, 0]])


def test_bound_heads_give_the_same_outputs(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    names = ["findings", "anatomy", "boxes"]
    expected, found = backend.infer(image, names), bound.infer(image, names)
    for name in names:
        for output, value in expected.heads[name].items():
            assert np.array_equal(found.heads[name][output], value)


def test_a_bound_graph_that_cannot_take_its_input_is_a_failure_of_the_backend(
    bound: OrtBackend,
) -> None:
    with pytest.raises(BackendFailure):
        bound.trunk(np.zeros((1, 2, 64, 64), np.float32))


def test_rows_of_a_mixed_batch_get_the_outputs_that_they_get_alone(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    features = bound.trunk(image)
    rows = {"decoder_4": features["decoder_4"][[1]]}
    expected = backend.infer(image[1:2], ["anatomy"]).heads["anatomy"]["logits"]
    assert np.allclose(bound.head("anatomy", rows)["logits"], expected)


def test_a_head_without_its_inputs_is_a_failure_of_the_backend(
    backend: OrtBackend, image: np.ndarray
) -> None:
    with pytest.raises(
        BackendFailure, match=r"regions needs the missing inputs \['phrase_features"
    ):
        backend.infer(image, ["regions"])
