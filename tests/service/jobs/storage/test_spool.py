"""The spool: private files, and a folder that is removed or full while the service runs."""

import errno
import io
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from service.errors import JobsUnavailable, StorageFull
from service.jobs.storage.spool import Incoming, Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def spool(folder: Path) -> Spool:
    made = Spool(folder, 0)
    made.prepare()
    return made


def keep(spool: Spool, job: str) -> None:
    incoming = spool.begin()
    incoming.write(b"radiograph")
    spool.keep(incoming, job)
    incoming.discard()


def test_bodies_are_private_and_so_is_what_an_earlier_release_left(
    spool: Spool, folder: Path
) -> None:
    keep(spool, "new")
    (folder / "old.body").touch(0o644)
    (folder / "incoming" / "half").touch(0o644)
    for path in (folder, folder / "incoming"):
        path.chmod(0o755)
    spool.prepare()
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert len(paths) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "incoming")]
    assert modes == [0o700, 0o700]


def test_a_folder_of_another_user_is_refused(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(JobsUnavailable) as refused:
        spool.prepare()
    assert "other users can enter" in str(refused.value.__cause__)
    assert str(folder) not in str(refused.value)  # clients read this


def test_a_folder_that_was_removed_is_made_again(spool: Spool, folder: Path) -> None:
    shutil.rmtree(folder)
    spool.check_room(0)
    keep(spool, "job")
    assert spool.jobs() == {"job"}


def test_a_body_that_was_removed_before_it_is_kept_is_refused(spool: Spool, folder: Path) -> None:
    incoming = spool.begin()
    shutil.rmtree(folder)
    with pytest.raises(JobsUnavailable):
        spool.keep(incoming, "job")
    incoming.discard()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, JobsUnavailable)]
)
def test_a_disk_that_fails_at_the_end_of_a_body_is_noticed_at_once(
    tmp_path: Path, number: int, error: type[Exception]
) -> None:
    class Failing(io.BytesIO):
        def flush(self) -> None:
            raise OSError(number, "on purpose")

    with pytest.raises(error):
        Incoming(tmp_path / "body", Failing()).write(b"the last bytes")


@pytest.mark.parametrize(("days", "kept"), [(-1, {"job"}), (0, {"job", "lost"}), (16, {"job"})])
def test_old_bodies_are_swept_whichever_way_the_clock_was_set(
    spool: Spool, folder: Path, days: int, kept: set[str]
) -> None:
    for name in ("job", "lost"):
        keep(spool, name)
        at = time.time() + days * 86_400
        os.utime(folder / f"{name}.body", (at, at))
    spool.sweep(5400, {"job"})
    assert spool.jobs() == kept
