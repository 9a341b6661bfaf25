"""Detection of ONNX graphs that read other files, without the `onnx` package.

    ModelProto -> graph, functions -> nodes -> attributes -> tensors -> data_location

A tensor may keep its values in another file, at a path that the author of the graph chooses, such
as `../../etc/passwd` or a file that changes after verification (CVE-2022-25882, CVE-2024-27318).
The graphs of a version must therefore contain all their values.

Source: onnx.proto3 (field numbers), protobuf encoding guide (wire types).
"""

from collections.abc import Iterator

# Kind of message -> number of each field that holds a message -> kind of that message.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Field = tuple[int, int | memoryview]


def refers_to_other_files(graph: bytes | memoryview) -> bool:
    """Return whether any tensor of a serialised ModelProto keeps its values in another file.

    Raises:
        ValueError: the bytes are not a ModelProto with a graph.
    """
    has_graph = False
    pending = [("Model", memoryview(graph))]
    while pending:
        kind, message = pending.pop()
        for number, value in _fields(message):
            if kind == "Tensor" and _is_external(number, value):
                return True
            child = _CHILDREN[kind].get(number)
            if child is not None and isinstance(value, memoryview):
                has_graph |= kind == "Model" and child == "Graph"
                pending.append((child, value))
    if not has_graph:
        raise ValueError("the model has no graph")
    return False


def _is_external(number: int, value: int | memoryview) -> bool:
    """Return whether a field is `external_data`, or a `data_location` other than DEFAULT (0)."""
    return number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the number and value of each field of a message; fixed-width values are skipped."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:  # groups are not used by ONNX
            raise ValueError(f"wire type {wire} is not supported")
        if position + length > len(message):
            raise ValueError("a field extends past the end")
        if wire == _BYTES:
            yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return a base-128 number of at most ten bytes, and the position after it."""
    value = 0
    for index in range(position, min(position + 10, len(message))):
        value |= (message[index] & 0x7F) << (7 * (index - position))
        if message[index] < 0x80:
            return value, index + 1
    raise ValueError("a number does not end")
