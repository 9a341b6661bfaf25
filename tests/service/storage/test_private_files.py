"""Files of patients are open to one user: made so, tightened, or refused."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.private_files import make_private_files, make_private_folder, open_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide_umask")
def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_private_folder(folder)
    with open(folder / "file", "xb", opener=open_private):
        pass
    assert (mode(folder), mode(folder / "file")) == (0o700, 0o600)


def test_what_exists_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "file"
    file.touch(0o644)
    make_private_folder(tmp_path)
    make_private_files([file, tmp_path / "missing"])
    assert (mode(tmp_path), mode(file)) == (0o700, 0o600)


def test_a_folder_of_another_user_is_refused_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="other users can enter"):
        make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_folder_that_everybody_shares_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match="other users can enter"):
        make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o1777
