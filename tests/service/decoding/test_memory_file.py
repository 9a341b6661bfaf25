"""A memory file gives back what was written to it, and refuses to read beyond its end."""

from collections.abc import Iterator

import numpy as np
import pytest

from service.decoding.memory_file import MemoryFile


@pytest.fixture
def memory() -> Iterator[MemoryFile]:
    made = MemoryFile()
    yield made
    made.close()


def test_bytes_are_read_from_the_start(memory: MemoryFile) -> None:
    memory.write(b"0123456789")
    assert memory.read(4) == b"0123"
    assert memory.read(100) == b"0123456789"


def test_arrays_lie_one_after_the_other(memory: MemoryFile) -> None:
    first = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    second = np.arange(5, dtype=np.uint8)
    end = memory.write_array(first, 0)
    assert end == first.nbytes
    assert memory.write_array(second, end) == first.nbytes + second.nbytes
    np.testing.assert_array_equal(memory.read_array((3, 2), np.float32, 0), first)
    np.testing.assert_array_equal(memory.read_array((5,), np.uint8, end), second)


def test_an_array_beyond_the_end_is_refused(memory: MemoryFile) -> None:
    memory.write(bytes(15))
    with pytest.raises(EOFError, match="16 bytes"):
        memory.read_array((4,), np.float32, 0)


def test_shrinking_never_makes_a_file_longer(memory: MemoryFile) -> None:
    memory.write(bytes(100))
    memory.shrink(1000)
    assert len(memory.read(1000)) == 100
    memory.shrink(10)
    assert len(memory.read(1000)) == 10
