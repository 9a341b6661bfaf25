"""Fixtures that every part of the tests may use."""

from pathlib import Path

import pytest

from tests import tiny_version


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one real version, `tiny/1`, as `stable`. Do not write to it."""
    root = tmp_path_factory.mktemp("models")
    tiny_version.publish(root)
    return root
