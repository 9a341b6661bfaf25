"""Fixtures of the tests of Triton's model repository."""

from pathlib import Path

import pytest

from tests.builders.models.versions import tiny_version


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "triton"


@pytest.fixture
def own(tiny_models: Path, tmp_path: Path) -> Path:
    """Repository that a test may change: `tiny/1`, `stable`."""
    return tiny_version.copy(tiny_models, tmp_path / "models")
