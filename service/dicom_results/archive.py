"""Zip files of DICOM objects: those of one radiograph, as jobs keep them, and those of many.

    1.zip                        seg.dcm, sr_boxes.dcm, ...
    several radiographs          1/seg.dcm, 1/sr_boxes.dcm, 2/seg.dcm, ...

The bytes follow from the objects alone: entries have the earliest time of the format.
"""

import zipfile
from collections.abc import Iterable
from io import BytesIO

from service.dicom_results.kinds import EncodedObject

MEDIA_TYPE = "application/zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 1


def pack(objects: Iterable[EncodedObject]) -> bytes:
    """Return the objects of one radiograph as a zip file."""
    archive = ZipStream()
    parts = [archive.add(f"{item.kind}.dcm", item.data) for item in objects]
    return b"".join((*parts, archive.end()))


def unpack(data: bytes) -> list[tuple[str, bytes]]:
    """Return names and bytes of the objects in a zip file that `pack` wrote, in their order."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


class ZipStream:
    """A zip file that is written piece by piece, so that it is never in memory as a whole."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)

    def add(self, name: str, data: bytes) -> bytes:
        """Return the bytes of the zip file that hold one more entry."""
        entry = zipfile.ZipInfo(name, _EPOCH)
        self._zip.writestr(entry, data, zipfile.ZIP_DEFLATED, _LEVEL)
        return self._sink.take()

    def end(self) -> bytes:
        """Return the rest of the zip file."""
        self._zip.close()
        return self._sink.take()


class _Sink:
    """A file that cannot seek, and that gives away what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep bytes until they are taken."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; nothing is held back."""

    def close(self) -> None:
        """Do nothing; the zip file ends before."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken
