"""Fixtures that every part of the tests may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.models import tiny_version

pytest_plugins = ["tests.fixtures.service", "tests.fixtures.jobs", "tests.fixtures.training"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests marked `gpu` where torch finds no CUDA device."""
    if item.get_closest_marker("gpu") is not None and not _finds_a_gpu():
        pytest.skip("no CUDA device")


def _finds_a_gpu() -> bool:
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder of the tests' own: a service that a test starts keeps its jobs there."""
    home = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one real version, `tiny/1`, as `stable`. Do not write to it."""
    root = tmp_path_factory.mktemp("models")
    tiny_version.publish(root)
    return root
