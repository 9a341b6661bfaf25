"""Shared memory is lent to one call at a time, registered once, and freed at the end."""

from pathlib import Path

import numpy as np
import pytest

from service.backends.triton import shared_memory
from service.backends.triton.shared_memory import Region, Regions, layout
from service.errors import BackendUnavailable


class Peer:
    """What Triton is told of."""

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
def regions(peer: Peer) -> Regions:
    return Regions(peer.register, peer.unregister)


def there(name: str) -> bool:
    return Path("/dev/shm", name).exists()  # noqa: S108 - where the system keeps it


def test_a_region_is_used_again_and_registered_once(peer: Peer, regions: Regions) -> None:
    with regions.borrow(100) as first:
        pass
    with regions.borrow(4000) as second:
        assert second is first
    assert peer.registered == 1
    regions.close()


def test_two_calls_at_one_time_have_regions_of_their_own(regions: Regions) -> None:
    with regions.borrow(100) as first, regions.borrow(100) as second:
        assert first.name != second.name
    regions.close()


def test_a_larger_call_gets_a_larger_region(regions: Regions) -> None:
    with regions.borrow(100) as first:
        pass
    with regions.borrow(first.size + 1) as second:
        assert second.size > first.size
    regions.close()


def test_arrays_come_out_as_they_went_in(regions: Regions) -> None:
    value = np.arange(12, dtype=np.float32).reshape(3, 4)
    with regions.borrow(256) as region:
        region.write(64, value[:, ::2])
        read = region.read(64, (3, 2))
    regions.close()
    np.testing.assert_array_equal(read, value[:, ::2])


def test_after_a_restart_each_region_is_registered_again(peer: Peer, regions: Regions) -> None:
    with regions.borrow(100):
        pass
    regions.forget()
    with regions.borrow(100):
        pass
    assert peer.registered == 2
    regions.close()


def test_a_region_whose_call_failed_is_not_lent_again_before_it_goes(
    peer: Peer, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendUnavailable), regions.borrow(100) as failed:
        raise BackendUnavailable("no answer")
    assert there(failed.name)
    with regions.borrow(100) as other:
        assert other.name != failed.name
    monkeypatch.setattr(shared_memory, "ASIDE_S", -1.0)
    with pytest.raises(BackendUnavailable), regions.borrow(100):
        raise BackendUnavailable("no answer")
    assert not there(failed.name)
    regions.close()


def test_a_region_that_cannot_be_registered_is_freed(peer: Peer) -> None:
    names = []

    def refuse(region: Region) -> None:
        names.append(region.name)
        raise BackendUnavailable("away")

    regions = Regions(refuse, peer.unregister)
    with pytest.raises(BackendUnavailable), regions.borrow(100):
        pass
    assert [there(name) for name in names] == [False]


def test_few_regions_are_kept_and_none_after_the_end(peer: Peer, regions: Regions) -> None:
    lent = [regions.borrow(100 * number) for number in range(1, shared_memory.MAX_IDLE + 3)]
    for one in lent:
        one.__enter__()
    for one in lent:
        one.__exit__(None, None, None)
    assert len(peer.known) == shared_memory.MAX_IDLE
    kept = list(peer.known)
    regions.close()
    assert peer.known == []
    assert not any(there(name) for name in kept)


def test_places_do_not_overlap_and_are_aligned() -> None:
    offsets, size = layout([1, 64, 65, 0, 3])
    assert offsets == [0, 64, 128, 256, 256]
    assert size == 320
