"""Graphs that read other files are detected; each byte string is spelled out with its meaning."""

import pytest

from radiograph.repository.integrity.onnx_external_data import refers_to_other_files


def message(number: int, *parts: bytes) -> bytes:
    """One length-delimited field, shorter than 16 KiB."""
    body = b"".join(parts)
    length = len(body)
    size = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    return bytes([number << 3 & 0x7F | 2 | (0x80 if number > 15 else 0)]) + (
        bytes([number >> 4]) if number > 15 else b""
    ) + size + body  # fmt: skip


INTERNAL = bytes.fromhex("0801 1001 2200 4a0400000000")  # dims 1, type 1, float_data, raw_data
EXTERNAL = INTERNAL + bytes.fromhex("7001")  # data_location (14) = EXTERNAL (1)
DEFAULT = INTERNAL + bytes.fromhex("7000")  # data_location (14) = DEFAULT (0)
PATH_ONLY = INTERNAL + message(13, b"\x0a\x08location", b"\x12\x04../x")  # external_data (13)

PLACES = {
    "initializer": lambda t: message(7, message(5, t)),
    "sparse values": lambda t: message(7, message(15, message(1, t))),
    "sparse indices": lambda t: message(7, message(15, message(2, t))),
    "attribute": lambda t: message(7, message(1, message(5, message(5, t)))),
    "attribute list": lambda t: message(7, message(1, message(5, message(10, t)))),
    "sparse attribute": lambda t: message(7, message(1, message(5, message(22, message(1, t))))),
    "sparse list": lambda t: message(7, message(1, message(5, message(23, message(1, t))))),
    "subgraph": lambda t: message(7, message(1, message(5, message(6, message(5, t))))),
    "subgraph list": lambda t: message(7, message(1, message(5, message(11, message(5, t))))),
    "function": lambda t: message(7) + message(25, message(7, message(5, message(5, t)))),
    "function default": lambda t: message(7) + message(25, message(11, message(5, t))),
    "training": lambda t: message(7) + message(20, message(1, message(5, t))),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tensor", [EXTERNAL, PATH_ONLY], ids=["location", "path"])
def test_values_in_another_file_are_found_wherever_a_tensor_can_be(
    place: str, tensor: bytes
) -> None:
    assert refers_to_other_files(PLACES[place](tensor))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tensor", [INTERNAL, DEFAULT], ids=["silent", "default"])
def test_values_inside_the_graph_are_accepted(place: str, tensor: bytes) -> None:
    assert not refers_to_other_files(PLACES[place](tensor))


def test_a_number_of_too_many_bytes_hides_nothing() -> None:
    padded = INTERNAL + bytes.fromhex("f08000 818000")  # the key 0x70 and the value 1, padded
    assert refers_to_other_files(message(7, message(5, padded)))


def test_the_word_location_in_a_name_is_not_external_data() -> None:
    named = message(7, message(2, b"location"), message(5, INTERNAL, message(8, b"location")))
    assert not refers_to_other_files(named)


def test_deep_nesting_is_read_without_recursion() -> None:
    graph = message(5, EXTERNAL)
    for _ in range(1000):  # a graph within an attribute of a node of a graph
        graph = message(1, message(5, message(6, graph)))
    assert refers_to_other_files(message(7, graph))


@pytest.mark.parametrize(
    "data",
    ["", "0808", "3a", "3a05 00", "3b", "ff" * 11, "80", "3d0000", "390000", "3f00"],
    ids=["empty", "no graph", "no length", "cut", "group", "long", "endless", "f32", "f64", "w7"],
)
def test_bytes_that_are_not_a_model_are_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r"graph|end|wire"):
        refers_to_other_files(bytes.fromhex(data))
