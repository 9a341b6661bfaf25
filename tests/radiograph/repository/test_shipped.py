"""The folder of models that is used where none is named."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from radiograph.repository.shipped import PACKAGE, default_models_dir, packaged


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of models in a package g2d-cxr-model."""
    folder = tmp_path / "site" / PACKAGE / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop(PACKAGE, None)


def test_the_folder_of_a_checkout_comes_first(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_models_dir() == packaged() == installed
    (tmp_path / "models").mkdir()
    assert default_models_dir() == Path("models")


def test_without_a_package_the_folder_of_a_checkout_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert packaged() is None
    assert default_models_dir() == Path("models")
