"""Guard: the limits on input, and the one place where a library's error becomes ours.

Readers take bytes from strangers. Whatever a parser or a codec throws at them has to end as
one `InputError`, and its message must not repeat what stood in the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from radiograph.errors import InputError, InputTooLarge, MalformedInput


@dataclass(frozen=True)
class Limits:
    """What one input may cost. Everything is checked before memory is spent on it.

    Attributes:
        max_bytes: length of the file.
        max_pixels: Rows x Columns.
        max_inflated_bytes: a deflated data set once it is inflated.
        max_elements: data elements and sequence items, nested ones included.
    """

    max_bytes: int = 256 * 2**20
    max_pixels: int = 64_000_000
    max_inflated_bytes: int = 160 * 2**20
    max_elements: int = 100_000

    def check_bytes(self, data: bytes) -> None:
        """Raise `InputTooLarge` if the file is longer than allowed, `MalformedInput` if empty."""
        if not data:
            raise MalformedInput("the file is empty")
        if len(data) > self.max_bytes:
            raise InputTooLarge(f"{len(data)} bytes; at most {self.max_bytes} are read")

    def check_pixels(self, rows: int, columns: int) -> None:
        """Raise `InputTooLarge` if the image has more pixels than allowed.

        Raises:
            MalformedInput: a side is not positive.
        """
        if rows < 1 or columns < 1:
            raise MalformedInput(f"{rows} rows x {columns} columns hold no pixel")
        if rows * columns > self.max_pixels:
            raise InputTooLarge(f"{rows} x {columns} pixels; at most {self.max_pixels} are read")


DEFAULT_LIMITS = Limits()


@contextmanager
def malformed(what: str) -> Iterator[None]:
    """Turn any error of a library into `MalformedInput`, and running out of memory into too large.

    The cause is named by its type only and is not chained: parsers quote values in their
    messages, and a value may be a patient's name.

    Raises:
        MalformedInput: with `what` and the type of the cause.
        InputTooLarge: memory ran out.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputTooLarge(f"{what}: memory ran out") from None
    except Exception as error:  # noqa: BLE001 - parsers and codecs throw anything
        raise MalformedInput(f"{what} ({type(error).__name__})") from None
