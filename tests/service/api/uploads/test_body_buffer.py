"""The buffer of a body gives back what was added, moves it seldom, and takes no memory on trust."""

import pytest

from service.api.uploads.upload import BodyBuffer

MIB = 2**20


@pytest.mark.parametrize("expected", [0, 3, 10, 1000], ids=lambda size: f"expected {size}")
@pytest.mark.parametrize("chunks", [[b""], [b"abc"], [b"ab", b"", b"cdefgh", b"ij"]])
def test_the_chunks_are_joined(expected: int, chunks: list[bytes]) -> None:
    buffer = BodyBuffer(expected)
    for chunk in chunks:
        buffer.append(chunk)
    assert buffer.size == sum(map(len, chunks))
    assert buffer.take() == b"".join(chunks)


def test_a_large_body_is_moved_seldom_and_fills_its_block() -> None:
    buffer = BodyBuffer(10 * MIB)
    capacities = set()
    for _ in range(160):
        buffer.append(bytes(MIB // 16))
        capacities.add(buffer.capacity)
    assert len(capacities) <= 8
    assert (buffer.size, buffer.capacity) == (10 * MIB, 10 * MIB)


def test_an_announced_size_takes_no_memory_before_it_arrives() -> None:
    buffer = BodyBuffer(64 * MIB)
    buffer.append(b"x")
    assert buffer.capacity == 2
