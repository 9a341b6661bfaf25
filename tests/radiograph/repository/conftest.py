"""A repository in a temporary folder, for the tests of versions and aliases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, manifest_of, write_stage


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return write_stage(tmp_path / "stage")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def publish(repository: Repository, stage: Path) -> Callable[[], int]:
    return lambda: repository.publish(NAME, stage, manifest_of(stage))


@pytest.fixture
def version(repository: Repository, publish: Callable[[], int]) -> Path:
    return repository.folder(NAME, publish())


@pytest.fixture
def three(repository: Repository, publish: Callable[[], int]) -> Repository:
    for _ in range(3):
        publish()
    return repository
