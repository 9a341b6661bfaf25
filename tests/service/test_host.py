"""Facts about the host decide the defaults of threads, decoder processes and the state folder."""

import os
from pathlib import Path

import pytest

from service import host
from service.settings import Settings


def test_a_system_without_memory_files_decodes_in_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().decoding.workers >= 1
    monkeypatch.delattr(os, "memfd_create")
    assert Settings().decoding.workers == 0


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 1024)]
)
def test_a_quota_of_the_container_is_rounded_up(tmp_path: Path, text: str, cpus: int) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert host._cgroup_cpus(quota) == cpus


@pytest.mark.parametrize("text", [None, "", "100000"])
def test_without_a_readable_quota_there_is_no_limit(tmp_path: Path, text: str | None) -> None:
    quota = tmp_path / "cpu.max"
    if text is not None:
        quota.write_text(text)
    assert host._cgroup_cpus(quota) == 1024


def test_the_usable_cpus_are_capped_by_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(host, "_cgroup_cpus", lambda: 3)
    assert host.available_cpus() == 3
    monkeypatch.setattr(host, "_cgroup_cpus", lambda: 1024)
    assert host.available_cpus() == 8


def test_the_state_folder_follows_the_base_directory_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert host.state_dir() == tmp_path / "g2d"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    assert host.state_dir() == Path.home() / ".local" / "state" / "g2d"
