"""Limits on the cost of one input, and the translation of library errors into our own.

Readers take bytes from untrusted sources. Whatever a parser or a codec raises has to end as one
`InputError`, whose message must not repeat anything that stood in the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from radiograph.errors import EmptyInput, InputError, InputTooLarge, MalformedInput


@dataclass(frozen=True)
class Limits:
    """Limits on one input. Each is checked before memory is spent on what it limits.

    Attributes:
        max_bytes: length of the file.
        max_pixels: Rows x Columns.
        max_inflated_bytes: length of a deflated data set once it is inflated.
        max_elements: number of data elements and sequence items, nested ones included.
    """

    max_bytes: int = 256 * 2**20
    max_pixels: int = 64_000_000
    max_inflated_bytes: int = 160 * 2**20
    max_elements: int = 100_000

    def check_bytes(self, data: bytes) -> None:
        """Check the length of a file.

        Raises:
            EmptyInput: the file is empty.
            InputTooLarge: the file is longer than allowed.
        """
        if not data:
            raise EmptyInput("the file is empty")
        if len(data) > self.max_bytes:
            raise InputTooLarge(f"{len(data)} bytes; at most {self.max_bytes} are read")

    def check_pixels(self, rows: int, columns: int) -> None:
        """Check the size of an image.

        Raises:
            MalformedInput: a side is not positive.
            InputTooLarge: the image has more pixels than allowed.
        """
        if rows < 1 or columns < 1:
            raise MalformedInput(f"{rows} rows x {columns} columns hold no pixel")
        if rows * columns > self.max_pixels:
            raise InputTooLarge(f"{rows} x {columns} pixels; at most {self.max_pixels} are read")


DEFAULT_LIMITS = Limits()


@contextmanager
def as_malformed_input(message: str, kind: type[MalformedInput] = MalformedInput) -> Iterator[None]:
    """Raise whatever a library raises inside the block as an `InputError`.

    The cause is named by its type only and is not chained: parsers quote values in their
    messages, and a value may be a patient's name. An `InputError` passes unchanged.

    Args:
        message: a short clause that says what failed.
        kind: class of the error.

    Raises:
        MalformedInput: of that class, with the message and the type of the cause.
        InputTooLarge: memory ran out.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputTooLarge(f"{message}: memory ran out") from None
    except Exception as error:  # noqa: BLE001 - parsers and codecs throw anything
        raise kind(f"{message} ({type(error).__name__})") from None
