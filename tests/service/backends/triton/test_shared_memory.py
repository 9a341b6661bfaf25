"""A region of shared memory serves one call at a time, is registered once and freed at the end."""

from pathlib import Path

import numpy as np
import pytest

from service.backends.triton import shared_memory
from service.backends.triton.shared_memory import Region, RegionPool, layout
from service.errors import BackendUnavailable


class Peer:
    """Triton that remembers which regions it knows."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self.registered = 0

    def register(self, region: Region) -> None:
        self.registered += 1
        self.known.append(region.name)

    def unregister(self, region: Region) -> None:
        self.known = [name for name in self.known if name != region.name]


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def regions(peer: Peer) -> RegionPool:
    return RegionPool(peer.register, peer.unregister)


def exists(name: str) -> bool:
    return Path("/dev/shm", name).exists()  # noqa: S108 - the folder of shared memory


def test_a_region_is_reused_and_registered_once(peer: Peer, regions: RegionPool) -> None:
    with regions.borrow(100) as first:
        pass
    with regions.borrow(4000) as second:
        assert second is first
    assert peer.registered == 1
    regions.close()


def test_concurrent_calls_have_separate_regions(regions: RegionPool) -> None:
    with regions.borrow(100) as first, regions.borrow(100) as second:
        assert first.name != second.name
    regions.close()


def test_a_larger_call_gets_a_larger_region(regions: RegionPool) -> None:
    with regions.borrow(100) as first:
        pass
    with regions.borrow(first.size + 1) as second:
        assert second.size > first.size
    regions.close()


def test_arrays_are_read_as_they_were_written(regions: RegionPool) -> None:
    value = np.arange(12, dtype=np.float32).reshape(3, 4)
    with regions.borrow(256) as region:
        region.write(64, value[:, ::2])
        read = region.read(64, (3, 2))
    regions.close()
    np.testing.assert_array_equal(read, value[:, ::2])


def test_after_a_restart_each_region_is_registered_again(peer: Peer, regions: RegionPool) -> None:
    with regions.borrow(100):
        pass
    regions.forget()
    with regions.borrow(100):
        pass
    assert peer.registered == 2
    regions.close()


def test_the_region_of_a_failed_call_is_never_lent_again(
    peer: Peer, regions: RegionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendUnavailable), regions.borrow(100) as failed:
        raise BackendUnavailable("no answer")
    assert exists(failed.name)
    with regions.borrow(100) as other:
        assert other.name != failed.name
    monkeypatch.setattr(shared_memory, "QUARANTINE_S", -1.0)
    with pytest.raises(BackendUnavailable), regions.borrow(100):
        raise BackendUnavailable("no answer")
    assert not exists(failed.name)
    regions.close()


def test_a_region_that_cannot_be_registered_is_freed(peer: Peer) -> None:
    names = []

    def refuse(region: Region) -> None:
        names.append(region.name)
        raise BackendUnavailable("away")

    regions = RegionPool(refuse, peer.unregister)
    with pytest.raises(BackendUnavailable), regions.borrow(100):
        pass
    assert [exists(name) for name in names] == [False]


def test_few_idle_regions_are_kept_and_none_after_closing(peer: Peer, regions: RegionPool) -> None:
    lent = [regions.borrow(100 * number) for number in range(1, shared_memory.MAX_IDLE + 3)]
    for one in lent:
        one.__enter__()
    for one in lent:
        one.__exit__(None, None, None)
    assert len(peer.known) == shared_memory.MAX_IDLE
    kept = list(peer.known)
    regions.close()
    assert peer.known == []
    assert not any(exists(name) for name in kept)


def test_offsets_do_not_overlap_and_are_aligned() -> None:
    offsets, size = layout([1, 64, 65, 0, 3])
    assert offsets == [0, 64, 128, 256, 256]
    assert size == 320
