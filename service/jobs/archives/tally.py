"""Running total of what one submission holds, over all of its archives and single files."""

from radiograph.errors import InputTooLarge
from service.settings import JobSettings

_MAX_RATIO = 100.0
"""Largest ratio of inflated to stored bytes, over all archives of a submission."""
_RATIO_FREE_BYTES = 64 * 1024 * 1024
"""Inflated size up to which any ratio is allowed: small images of one tone deflate well."""


class Tally:
    """Files and bytes of one submission so far; each addition is checked against the limits.

    Args:
        limits: largest number of files and of bytes after inflating.
    """

    def __init__(self, limits: JobSettings) -> None:
        self.limits = limits
        self.files = 0
        self._inflated = 0
        self._packed = self._unpacked = 0

    @property
    def files_left(self) -> int:
        """Number of files that the submission may still have."""
        return self.limits.max_items - self.files

    def add_file(self, size: int) -> None:
        """Count a file that is not part of an archive.

        Raises:
            InputTooLarge: the submission has too many files or bytes.
        """
        self._add(1, size)

    def add_archive(self, files: int, stored: int, inflated: int) -> None:
        """Count all files of an archive, skipped ones included.

        Args:
            files: number of files.
            stored: their size in the archive in bytes.
            inflated: their size in bytes once they are unpacked.

        Raises:
            InputTooLarge: the submission has too many files or bytes, or is a zip bomb.
        """
        self._add(files, inflated)
        self._packed += stored
        self._unpacked += inflated
        if self._unpacked > _RATIO_FREE_BYTES and self._unpacked > _MAX_RATIO * self._packed:
            raise InputTooLarge(f"zip files may unpack to at most {_MAX_RATIO:g} times their size")

    def _add(self, files: int, inflated: int) -> None:
        self.files += files
        self._inflated += inflated
        if self.files_left < 0:
            raise InputTooLarge(f"a job may have at most {self.limits.max_items} files")
        if self._inflated > self.limits.max_inflated_bytes:
            most = self.limits.max_inflated_bytes
            raise InputTooLarge(f"the files of a job may have at most {most} bytes when unpacked")
