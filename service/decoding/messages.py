"""Messages between the service and its decoder processes: JSON on a socket, arrays in memory.

    service -> worker   RequestMessage     the file itself lies in the memory file
    worker -> service   WorkerStarted      once, before the first file
                        ImageMessage       tensor and pictures lie in the memory file
                        InputErrorMessage  the file is at fault
                        OutOfMemory        the file needs more memory than allowed
                        FailureMessage     an unexpected error

Each message is encoded and decoded here and nowhere else. A file may have taken over the worker
that decoded it, so the service trusts nothing that a worker sends: types, ranges and shapes are
checked against the request, and an unknown, missing or malformed field refuses the whole message.
"""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from radiograph import errors
from radiograph.errors import InputError, MalformedInput
from radiograph.geometry.geometry import Field as PixelField
from radiograph.geometry.geometry import Geometry
from radiograph.limits import Limits
from radiograph.preprocess import PreprocessSpec, place
from service.decoding.decode import DecodedImage, DecodeRequest, DisplayedPixels, ImageFacts
from service.decoding.memory_file import MemoryFile

MAX_MESSAGE_BYTES = 128 * 1024
"""Largest message; files and arrays travel in the memory file."""

_MAX_TEXT = 2000
MAX_FRAMES = 8

Milliseconds = Annotated[float, Field(ge=0)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Text = Annotated[str, Field(max_length=_MAX_TEXT)]
Side = Annotated[int, Field(gt=0)]
Brightness = Annotated[float, Field(ge=0, le=65535)]


class InvalidMessage(Exception):
    """A decoder process sent a message that the protocol does not allow."""


class _Message(BaseModel):
    """Message of either direction."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def encode(self) -> bytes:
        """Return the message as JSON."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read a message of this class.

        Raises:
            InvalidMessage: the bytes are not such a message.
        """
        try:
            return cls.model_validate_json(message)
        except ValidationError as error:
            raise InvalidMessage(_reasons(error)) from None


class RequestMessage(_Message):
    """Request to decode the file at the start of the memory file."""

    size: int
    media_type: str
    spec: PreprocessSpec
    limits: Limits
    preview_px: int | None
    pixels_px: int | None

    @classmethod
    def of(cls, request: DecodeRequest) -> "RequestMessage":
        """Return the message for a request whose file is in the memory file."""
        return cls(
            size=len(request.data),
            media_type=request.media_type,
            spec=request.spec,
            limits=request.limits,
            preview_px=request.preview_px,
            pixels_px=request.pixels_px,
        )

    def request(self, memory: MemoryFile) -> DecodeRequest:
        """Return the request, with the bytes of the file from the memory file."""
        data = memory.read(self.size)
        return DecodeRequest(
            data, self.media_type, self.spec, self.limits, self.preview_px, self.pixels_px
        )


class WorkerStarted(_Message):
    """Sent once, when a worker is ready for its first file."""

    pid: int = Field(gt=0)


class DisplayMessage(_Message):
    """Shape of the displayed pixels, and what the model sees as black and white."""

    shape: tuple[Side, Side]
    black: Brightness
    white: Brightness


class ImageMessage(_Message):
    """A decoded file: its facts here; tensor, preview and displayed pixels in the memory file.

    The arrays lie one after the other. The shape of the tensor and the geometry follow from the
    request, the facts and the field, so they do not travel.
    """

    kind: Literal["image"] = "image"
    facts: ImageFacts
    field: PixelField | None = None
    preview_shape: tuple[Side, Side] | None
    displayed: DisplayMessage | None
    timings_ms: dict[Literal["read", "preprocess"], Milliseconds]

    @classmethod
    def write(cls, decoded: DecodedImage, memory: MemoryFile) -> "ImageMessage":
        """Write the arrays to the memory file, and return the message about the rest."""
        end = memory.write_array(decoded.tensor.astype(np.float32, copy=False), 0)
        if decoded.preview is not None:
            end = memory.write_array(decoded.preview, end)
        displayed = None
        if decoded.displayed is not None:
            memory.write_array(decoded.displayed.pixels, end)
            shown = decoded.displayed
            displayed = {"shape": shown.pixels.shape, "black": shown.black, "white": shown.white}
        return cls.model_validate(
            {
                "facts": decoded.image,
                "field": decoded.geometry.field,
                "preview_shape": None if decoded.preview is None else decoded.preview.shape,
                "displayed": displayed,
                "timings_ms": decoded.timings_ms,
            }
        )

    def read(self, request: DecodeRequest, memory: MemoryFile) -> DecodedImage:
        """Return the decoded file, with the arrays from the memory file.

        Raises:
            InvalidMessage: facts or arrays do not fit the request.
        """
        self._check_facts(request)
        size = request.spec.size_px
        try:
            tensor = memory.read_array((1, size, size), np.float32, 0)
            preview = self._preview(request, memory, tensor.nbytes)
            end = tensor.nbytes + (0 if preview is None else preview.nbytes)
            displayed = self._displayed(request, memory, end)
        except EOFError as error:
            raise InvalidMessage(str(error)) from None
        if not np.isfinite(tensor).all():
            raise InvalidMessage("the tensor holds values that are not finite")
        return DecodedImage(
            tensor=tensor,
            geometry=self._geometry(request.spec),
            image=self.facts,
            preview=preview,
            timings_ms={str(stage): value for stage, value in self.timings_ms.items()},
            displayed=displayed,
        )

    def _geometry(self, spec: PreprocessSpec) -> Geometry:
        facts = self.facts
        sides = facts.spacing_mm or facts.aspect_ratio
        return place(spec, facts.rows, facts.columns, sides, facts.orientation, self.field)

    def _check_facts(self, request: DecodeRequest) -> None:
        try:
            request.limits.check_pixels(self.facts.rows, self.facts.columns)
        except InputError as error:
            raise InvalidMessage(f"facts: {error}") from None
        for sides in (self.facts.spacing_mm, self.facts.aspect_ratio):
            if sides is not None and min(sides) <= 0:
                raise InvalidMessage("facts: the pixel spacing or aspect ratio is not positive")
        if self.field is None:
            return
        shape = self.facts.orientation.upright_shape(self.facts.rows, self.facts.columns)
        if request.spec.crop == "none" or not self.field.lies_in(*shape):
            raise InvalidMessage("the field is no part of the image, or was not requested")

    def _preview(
        self, request: DecodeRequest, memory: MemoryFile, offset: int
    ) -> NDArray[np.uint8] | None:
        if (self.preview_shape is None) != (request.preview_px is None):
            raise InvalidMessage("a preview is missing or was not requested")
        if self.preview_shape is None or request.preview_px is None:
            return None
        if max(self.preview_shape) > request.preview_px:
            raise InvalidMessage(f"the preview is larger than {request.preview_px} pixels")
        return memory.read_array(self.preview_shape, np.uint8, offset)

    def _displayed(
        self, request: DecodeRequest, memory: MemoryFile, offset: int
    ) -> DisplayedPixels | None:
        if (self.displayed is None) != (request.pixels_px is None):
            raise InvalidMessage("displayed pixels are missing or were not requested")
        if self.displayed is None or request.pixels_px is None:
            return None
        if max(self.displayed.shape) > request.pixels_px:
            raise InvalidMessage(f"the displayed pixels are more than {request.pixels_px} wide")
        pixels = memory.read_array(self.displayed.shape, np.uint16, offset)
        return DisplayedPixels(pixels, self.displayed.black, self.displayed.white)


class InputErrorMessage(_Message):
    """The file cannot be decoded, and the client is told why."""

    kind: Literal["input_error"] = "input_error"
    error: str
    message: Text

    @classmethod
    def of(cls, error: InputError) -> "InputErrorMessage":
        """Return the message for an error; a long text is cut."""
        return cls(error=type(error).__name__, message=str(error)[:_MAX_TEXT])

    def to_error(self) -> InputError:
        """Return the error of that name, or MalformedInput if there is no such input error."""
        kind = getattr(errors, self.error, MalformedInput)
        is_input_error = isinstance(kind, type) and issubclass(kind, InputError)
        return kind(self.message) if is_input_error else MalformedInput(self.message)


class OutOfMemory(_Message):
    """The file needs more memory than the worker may allocate; the worker ends."""

    kind: Literal["out_of_memory"] = "out_of_memory"


class FailureMessage(_Message):
    """An unexpected error: its class, and the stack frames without any value."""

    kind: Literal["failure"] = "failure"
    error: Identifier
    where: tuple[Text, ...] = Field(max_length=MAX_FRAMES)


Reply = ImageMessage | InputErrorMessage | OutOfMemory | FailureMessage

_reply: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])


def decode_reply(message: bytes) -> Reply:
    """Read the reply of a worker to one request.

    Raises:
        InvalidMessage: the bytes are not a reply.
    """
    try:
        return _reply.validate_json(message)
    except ValidationError as error:
        raise InvalidMessage(_reasons(error)) from None


def _reasons(error: ValidationError) -> str:
    """Return the kinds of mistakes in a message, and nothing that was in it."""
    return ", ".join(sorted({item["type"] for item in error.errors(include_input=False)}))
