"""Fixtures that every part of the tests may use.

The environment is set before any library that reads it is imported: processes that test at the
same time, and those that they start, compute with one thread each. Threads of several processes
that wait for each other in loops would take the cores from those that compute.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from tests.builders.models.versions import tiny_version

pytest_plugins = [
    "tests.fixtures.service",
    "tests.fixtures.jobs",
    "tests.fixtures.training",
    "tests.fixtures.page",
]


PROGRAMS = (
    "tests/docker",
    "tests/docs",
    "tests/g2d",
    "tests/scenarios",
    "tests/service/api/pages",
    "tests/service/api/server",
    "tests/service/backends/triton",
    "tests/service/gateway",
)
"""Tests that run browsers, servers and other programs as processes of their own."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Repeat a failed test once where other programs take part, which the machine may hold up.

    The closing lines of pytest name each repeated test: each is a fault to be mended.
    """
    folders = [config.rootpath / folder for folder in PROGRAMS]
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in folders):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """Leave what was imported out of later collections of garbage.

    The modules of all tests hold more than half a million objects. Every full collection would
    visit them, and an application of the service asks for two.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _without_remains() -> None:
    """Leave what the files before this one keep in memory out of collections of garbage, too.

    What they left unclosed is found by the collection here, while warnings are errors.
    """
    gc.collect()
    gc.freeze()


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
