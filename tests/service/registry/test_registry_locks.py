"""One version loads at a time, and nothing but another load waits for it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from radiograph.repository.repository import Repository
from tests.builders.service.registry.fake_loader import publish, registry_of
from tests.builders.service.registry.version_log import VersionLog

T = TypeVar("T")


class BlockedLoad:
    """Blocks the load of one version until the test lets it go on."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, version: int) -> None:
        if version == self.version:
            self.begun.set()
            assert self.go.wait(60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three versions, the first as `stable`."""
    publish(tmp_path, "stable")
    publish(tmp_path)
    publish(tmp_path)
    return tmp_path


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as executor:
        yield executor


@pytest.fixture
def blocked() -> Iterator[BlockedLoad]:
    """Block the load of version 3; let it go at the end, so that no thread is left."""
    blocked = BlockedLoad(3)
    yield blocked
    blocked.go.set()


def test_nothing_but_another_load_waits_for_a_version_that_loads(
    root: Path, threads: ThreadPoolExecutor, blocked: BlockedLoad
) -> None:
    registry = registry_of(root, blocked)
    registry.promote("small", "stable", 2, expected=1)
    Repository(root).set_alias("small", "canary", 3)
    loading = threads.submit(registry.refresh)
    assert blocked.begun.wait(60)

    def now(call: Callable[..., T], *arguments: object) -> T:
        """Call in another thread; fail if it waits for the load."""
        return threads.submit(call, *arguments).result(timeout=30)

    assert now(registry.roll_back, "small", "stable", 2) == 1
    now(registry.promote, "small", "stable", 2, 1)
    now(registry.hold, "small", 1).release()
    assert now(registry.pointed, "small", "stable") == 2
    assert now(registry.lookup.ready).identity.version == 2
    assert not loading.done()
    blocked.go.set()
    loading.result(timeout=60)
    assert registry.lookup.answering("small", "canary") == 3


def test_a_load_holds_no_lock_that_the_table_needs(root: Path, threads: ThreadPoolExecutor) -> None:
    found: list[int] = []

    def move_an_alias(version: int) -> None:
        """Move `canary` to a loaded version, as an administrator may during a load."""
        if version == 3:
            moving = threads.submit(registry.promote, "small", "canary", 1, None)
            moving.result(timeout=30)
            found.append(registry.lookup.ready(reference="canary").identity.version)

    registry = registry_of(root, move_an_alias)
    registry.promote("small", "stable", 3, expected=1)
    assert found == [1]


def test_one_version_loads_at_a_time(root: Path, threads: ThreadPoolExecutor) -> None:
    loading: list[int] = []
    most: list[int] = []
    second = threading.Event()

    def count(version: int) -> None:
        loading.append(version)
        most.append(len(loading))
        if len(loading) > 1:
            second.set()
        second.wait(0.2)  # room for another load, if one were let in
        loading.remove(version)

    registry = registry_of(root, count)
    promoting = [
        threads.submit(registry.promote, "small", alias, version, None)
        for alias, version in (("stable", 2), ("canary", 3))
    ]
    for promotion in promoting:
        promotion.result(timeout=60)
    assert most == [1, 1, 1]


def test_a_version_that_two_callers_need_is_loaded_once(
    root: Path, threads: ThreadPoolExecutor, blocked: BlockedLoad, log: VersionLog
) -> None:
    registry = registry_of(root, blocked, log)
    first = threads.submit(registry.promote, "small", "stable", 3, None)
    assert blocked.begun.wait(60)
    second = threads.submit(registry.promote, "small", "canary", 3, None)
    blocked.go.set()
    first.result(timeout=60)
    second.result(timeout=60)
    assert log.loads == [1, 3]
