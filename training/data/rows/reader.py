"""The interface that every dataset reader implements."""

from collections.abc import Iterable
from typing import Protocol

from training.data.rows.radiograph_table import Row


class Reader(Protocol):
    """One data set on disk."""

    def rows(self) -> Iterable[Row]:
        """Every row, in an order that does not change; `left_out` says which take no part."""

    def read(self, path: str) -> bytes:
        """The bytes of an image or a mask of a row; an OSError where they cannot be had."""

    def fingerprint(self) -> bytes:
        """Changes when the data set does, and is had in seconds however large it is."""
