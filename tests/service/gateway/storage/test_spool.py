"""Files of the gateway: durable, private, swept, and a disk that is full."""

import errno
import os
import stat
from pathlib import Path

import pytest

from service.errors import StorageFull
from service.gateway.errors import GatewayUnavailable
from service.gateway.storage.spool import Spool

LATER = 4e9
"""A time at which every file is old."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", 0)
    made.prepare()
    return made


def test_a_file_is_synchronised_before_it_has_its_name(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synchronised.append((is_folder, spool.path("inputs", "a" * 64).exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    spool.write("inputs", "a" * 64, b"content")
    assert synchronised == [(False, False), (True, True)]
    assert spool.read("inputs", "a" * 64) == b"content"


def test_only_files_that_are_not_needed_and_old_are_swept(spool: Spool) -> None:
    for name in ("needed", "not"):
        spool.write("inputs", name, b"x")
    assert spool.sweep({("inputs", "needed")}, now=spool.path("inputs", "not").stat().st_mtime) == 0
    assert spool.sweep({("inputs", "needed")}, now=LATER) == 1
    assert spool.read("inputs", "needed") == b"x"


def test_what_a_crash_left_half_written_is_removed(spool: Spool, tmp_path: Path) -> None:
    left = tmp_path / "spool/incoming/0123"
    left.write_bytes(b"half")
    spool.prepare()
    assert not left.exists()


def test_a_dead_letter_outlives_the_sweep_until_it_is_sent_again(
    spool: Spool, tmp_path: Path
) -> None:
    spool.write("results", "digest", b"result")
    spool.bury("results", "digest", "pacs", 7)
    letter = tmp_path / "spool/dead-letter/pacs/7.dcm"
    spool.sweep(set(), now=LATER)
    assert letter.read_bytes() == b"result"
    spool.unearth("pacs", 7)
    assert not letter.exists()


def test_too_little_space_is_refused_before_writing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_bytes=2**60)
    spool.prepare()
    with pytest.raises(StorageFull):
        spool.write("inputs", "digest", b"x")
    assert list((tmp_path / "spool/inputs").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, GatewayUnavailable)]
)
def test_a_disk_that_fails_leaves_no_file(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        spool.write("inputs", "digest", b"x")
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
