"""Messages survive their encoding, and a lying or malformed message of a decoder is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from radiograph.errors import InputTooLarge, MalformedInput
from radiograph.geometry.geometry import Field, Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.limits import Limits
from radiograph.preprocess import PreprocessSpec, place
from radiograph.readers.read import DICOM
from service.decoding.decode import DecodedImage, DecodeRequest, DisplayedPixels, ImageFacts
from service.decoding.memory_file import MemoryFile
from service.decoding.messages import (
    FailureMessage,
    ImageMessage,
    InputErrorMessage,
    InvalidMessage,
    OutOfMemory,
    RequestMessage,
    WorkerStarted,
    decode_reply,
)

SIZE = 32
TURNED = Orientation(transposed=True, columns_flipped=True)
FACTS = ImageFacts(
    rows=30,
    columns=20,
    spacing_mm=(0.1, 0.2),
    photometric_interpretation="MONOCHROME1",
    view_position="PA",
    sop_instance_uid="1.2.3",
    orientation=TURNED,
    laterality="asserted",
    warnings=("lateral view", "\u00e9"),
)
REQUEST = DecodeRequest(
    b"file", DICOM, PreprocessSpec(size_px=SIZE), Limits(max_pixels=10_000), 6, pixels_px=8
)
DECODED = DecodedImage(
    np.linspace(-1, 1, SIZE * SIZE, dtype=np.float32).reshape(1, SIZE, SIZE),
    Geometry.fit(30, 20, SIZE, TURNED),
    FACTS,
    np.arange(24, dtype=np.uint8).reshape(6, 4),
    {"read": 1.5, "preprocess": 0.25},
    DisplayedPixels(np.arange(40, dtype=np.uint16).reshape(8, 5) * 1500, 100.5, 60000.0),
)


@pytest.fixture
def memory() -> Iterator[MemoryFile]:
    made = MemoryFile()
    yield made
    made.close()


def image(memory: MemoryFile) -> dict[str, Any]:
    """Write a sound image to the memory file, and return its message as JSON."""
    found: dict[str, Any] = json.loads(ImageMessage.write(DECODED, memory).encode())
    return found


def read(
    message: dict[str, Any], memory: MemoryFile, request: DecodeRequest = REQUEST
) -> DecodedImage:
    """Read a reply as the service does."""
    reply = decode_reply(json.dumps(message).encode())
    assert isinstance(reply, ImageMessage)
    return reply.read(request, memory)


def test_a_request_arrives_as_it_was_sent(memory: MemoryFile) -> None:
    memory.write(REQUEST.data + b"rest of a larger file")
    message = RequestMessage.of(REQUEST).encode()
    assert RequestMessage.decode(message).request(memory) == REQUEST


def test_an_image_arrives_as_it_was_decoded(memory: MemoryFile) -> None:
    found = read(image(memory), memory)
    assert (found.image, found.geometry) == (DECODED.image, DECODED.geometry)
    assert found.timings_ms == DECODED.timings_ms
    np.testing.assert_array_equal(found.tensor, DECODED.tensor)
    assert found.preview is not None
    assert DECODED.preview is not None
    np.testing.assert_array_equal(found.preview, DECODED.preview)
    assert found.displayed is not None
    assert DECODED.displayed is not None
    np.testing.assert_array_equal(found.displayed.pixels, DECODED.displayed.pixels)
    assert (found.displayed.black, found.displayed.white) == (100.5, 60000.0)


CROPPED_SPEC = PreprocessSpec(version=2, size_px=SIZE, crop="exposed_field")
CROPPED_REQUEST = replace(REQUEST, spec=CROPPED_SPEC)


def test_a_cropped_image_arrives_with_its_field(memory: MemoryFile) -> None:
    field = Field(2, 3, 10, 25)
    geometry = place(CROPPED_SPEC, 30, 20, FACTS.spacing_mm, TURNED, field)
    sent = replace(DECODED, geometry=geometry)
    reply = decode_reply(ImageMessage.write(sent, memory).encode())
    assert isinstance(reply, ImageMessage)
    assert reply.read(CROPPED_REQUEST, memory).geometry == geometry


@pytest.mark.parametrize(
    "field",
    [
        {"top": 0, "left": 0, "rows": 21, "columns": 30},  # upright, the image is 20 x 30
        {"top": 0, "left": 0, "rows": 20, "columns": 31},
        {"top": -1, "left": 0, "rows": 5, "columns": 5},
        {"top": 0, "left": 0, "rows": 0, "columns": 5},
        {"top": 0, "left": 0, "rows": 5},
        {"top": 0, "left": 0, "rows": 5, "columns": 2**70},
        {"top": 0.5, "left": 0, "rows": 5, "columns": 5},
        [0, 0, 5, 5],
    ],
)
def test_a_field_outside_of_the_image_is_refused(memory: MemoryFile, field: Any) -> None:
    with pytest.raises(InvalidMessage):
        read(image(memory) | {"field": field}, memory, CROPPED_REQUEST)


def test_a_field_that_was_not_requested_is_refused(memory: MemoryFile) -> None:
    field = {"top": 0, "left": 0, "rows": 5, "columns": 5}
    with pytest.raises(InvalidMessage, match="not requested"):
        read(image(memory) | {"field": field}, memory)


@pytest.mark.parametrize(
    "reply",
    [
        OutOfMemory(),
        InputErrorMessage(error="WrongModality", message="CT"),
        FailureMessage(error="ValueError", where=("file.py:1 read",)),
    ],
    ids=lambda reply: reply.kind,
)
def test_a_reply_without_an_image_arrives_as_it_was_sent(
    reply: OutOfMemory | InputErrorMessage | FailureMessage,
) -> None:
    assert decode_reply(reply.encode()) == reply


WRONG_FACTS: dict[str, dict[str, Any]] = {
    "a text for a number": {"rows": "30"},
    "a fraction of a row": {"rows": 30.0},
    "a truth value for a number": {"rows": True},
    "no rows": {"rows": 0},
    "negative columns": {"columns": -20},
    "more pixels than allowed": {"rows": 101, "columns": 100},
    "a number beyond 64 bits": {"rows": 2**80},
    "a spacing of zero": {"spacing_mm": [0.0, 0.2]},
    "an aspect ratio of zero": {"aspect_ratio": [1.0, 0.0]},
    "a spacing that is not a number": {"spacing_mm": [float("nan"), 0.2]},
    "an infinite spacing": {"spacing_mm": [float("inf"), 0.2]},
    "one spacing": {"spacing_mm": [0.1]},
    "three spacings": {"spacing_mm": [0.1, 0.1, 0.1]},
    "a number for a text": {"view_position": 7},
    "half of a surrogate pair": {"view_position": "\ud800"},
    "a text for a list": {"warnings": "lateral view"},
    "an unknown laterality": {"laterality": "certain"},
    "an orientation that is a name": {"orientation": "mirrored"},
    "an orientation of numbers": {"orientation": {"transposed": 1}},
    "an unknown fact": {"patient_name": "Doe^Jane"},
}


@pytest.mark.parametrize("facts", WRONG_FACTS.values(), ids=WRONG_FACTS)
def test_wrong_facts_are_refused(memory: MemoryFile, facts: dict[str, Any]) -> None:
    message = image(memory)
    message["facts"] |= facts
    with pytest.raises(InvalidMessage) as refused:
        read(message, memory)
    assert "Jane" not in str(refused.value)


WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "an unknown field": {"tensor": [1, 8, 8]},
    "an unknown kind": {"kind": "pickle"},
    "no kind": {"kind": None},
    "a kind that is a list": {"kind": ["image"]},
    "facts that are a list": {"facts": [30, 20]},
    "no preview": {"preview_shape": None},
    "a preview that is too high": {"preview_shape": [7, 4]},
    "a huge preview": {"preview_shape": [2**40, 2**40]},
    "an empty preview": {"preview_shape": [0, 4]},
    "a preview of three axes": {"preview_shape": [6, 4, 1]},
    "an unknown stage": {"timings_ms": {"read\r\nSet-Cookie: a": 1.0}},
    "a negative time": {"timings_ms": {"read": -1.0}},
    "a time that is not a number": {"timings_ms": {"read": float("nan")}},
}


@pytest.mark.parametrize("fields", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_wrong_fields_are_refused(memory: MemoryFile, fields: dict[str, Any]) -> None:
    message = image(memory) | fields
    with pytest.raises(InvalidMessage):
        read(message, memory)


@pytest.mark.parametrize("field", ["kind", "facts", "preview_shape", "displayed", "timings_ms"])
def test_a_missing_field_is_refused(memory: MemoryFile, field: str) -> None:
    message = image(memory)
    del message[field]
    with pytest.raises(InvalidMessage):
        read(message, memory)


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_message_that_is_cut_short_is_refused(memory: MemoryFile, kept: int) -> None:
    with pytest.raises(InvalidMessage):
        decode_reply(ImageMessage.write(DECODED, memory).encode()[:kept])


@pytest.mark.parametrize(
    "message",
    [b"\x80\x04N.", b"[]", b"null", b"1e999", b"\xff\xfe", b"[" * 100_000, b"{}{}"],
    ids=["pickle", "list", "null", "number", "not UTF-8", "nested", "two objects"],
)
def test_bytes_that_are_no_message_are_refused(message: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_reply(message)
    with pytest.raises(InvalidMessage):
        WorkerStarted.decode(message)


@pytest.mark.parametrize("size", [0, 1, SIZE * SIZE * 4 - 1, SIZE * SIZE * 4])
def test_a_memory_file_that_is_too_short_is_refused(memory: MemoryFile, size: int) -> None:
    message = image(memory)
    memory.shrink(size)
    with pytest.raises(InvalidMessage, match="memory file"):
        read(message, memory)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_tensor_that_is_not_finite_is_refused(memory: MemoryFile, value: float) -> None:
    message = image(memory)
    memory.write(np.float32(value).tobytes(), 20)
    with pytest.raises(InvalidMessage, match="not finite"):
        read(message, memory)


@pytest.mark.parametrize("picture", ["preview_px", "pixels_px"])
def test_a_picture_that_was_not_requested_is_refused(memory: MemoryFile, picture: str) -> None:
    absent: dict[str, Any] = {picture: None}
    request = replace(REQUEST, **absent)
    with pytest.raises(InvalidMessage, match="not requested"):
        ImageMessage.write(DECODED, memory).read(request, memory)


@pytest.mark.parametrize(
    "displayed",
    [
        None,
        {"shape": [9, 5], "black": 0.0, "white": 1.0},  # 8 pixels at most were requested
        {"shape": [0, 5], "black": 0.0, "white": 1.0},
        {"shape": [8, 5], "black": -1.0, "white": 1.0},
        {"shape": [8, 5], "black": 0.0, "white": 65536.0},
        {"shape": [8, 5], "black": 0.0},
        {"shape": [8, 8], "black": 0.0, "white": 1.0},  # more than the memory file holds
        [8, 5],
    ],
)
def test_displayed_pixels_that_do_not_fit_are_refused(memory: MemoryFile, displayed: Any) -> None:
    with pytest.raises(InvalidMessage):
        read(image(memory) | {"displayed": displayed}, memory)


@pytest.mark.parametrize("pid", [0, -1, "1", None, 1.5])
def test_a_process_id_that_is_none_is_refused(pid: object) -> None:
    with pytest.raises(InvalidMessage):
        WorkerStarted.decode(json.dumps({"pid": pid}).encode())


@pytest.mark.parametrize("error", ["Doe^Jane", "", "1st", "a" * 101, "Value\nError"])
def test_a_failure_that_names_no_class_is_refused(error: str) -> None:
    with pytest.raises(InvalidMessage):
        decode_reply(json.dumps({"kind": "failure", "error": error, "where": []}).encode())


def test_a_failure_with_endless_frames_is_refused() -> None:
    failure = {"kind": "failure", "error": "ValueError", "where": ["frame"] * 9}
    with pytest.raises(InvalidMessage):
        decode_reply(json.dumps(failure).encode())


def test_a_long_error_is_cut() -> None:
    message = InputErrorMessage.of(InputTooLarge("x" * 5000))
    assert str(message.to_error()) == "x" * 2000
    assert isinstance(message.to_error(), InputTooLarge)


@pytest.mark.parametrize(
    "name", ["SystemExit", "ModelNotFound", "__doc__", "RadiographError", "InvalidVersion", ""]
)
def test_a_worker_cannot_choose_another_kind_of_error(name: str) -> None:
    assert type(InputErrorMessage(error=name, message="x").to_error()) is MalformedInput
