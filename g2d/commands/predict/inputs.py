"""Radiographs that a command line names: files, folders, patterns and standard input.

FILE | FOLDER | 'PATTERN' | -  --find--> Input, Input, ...
"""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from g2d import sources
from g2d.failures import RefusedCommand
from radiograph.errors import MalformedInput, RadiographError
from radiograph.readers.read import looks_readable

STDIN = "-"
_HEAD_BYTES = 512
_INDEX = "DICOMDIR"
"""Name of the index of a DICOM medium, which holds no image (PS3.10, section 8.6)."""


@dataclass(frozen=True)
class Input:
    """One radiograph to read.

    Attributes:
        name: name that results have in tables and folders; relative to the folder that was given.
        path: the file; None for standard input.
        label: the file as the command line names it, without control characters.
        fault: why there is nothing to read, or None.
    """

    name: str
    path: Path | None
    label: str
    fault: RadiographError | OSError | None = None

    def read(self, max_bytes: int) -> bytes:
        """Return its bytes.

        Raises:
            InputTooLarge: there are more than allowed; no more than that are read.
            OSError: it cannot be read.
        """
        return sources.read(sys.stdin.buffer if self.path is None else self.path, max_bytes)


def find(arguments: Sequence[str]) -> list[Input]:
    """Return the radiographs that the arguments of a command name, in order, each once.

    Folders are searched with the folders in them for files that begin as DICOM, PNG or JPEG;
    hidden files and links to folders are left out. A pattern (`*`, `?`, `[`, `**`) that the shell
    left alone is expanded here. An argument that names nothing is an input with a fault.

    Raises:
        RefusedCommand: standard input is named twice.
    """
    if arguments.count(STDIN) > 1:
        raise RefusedCommand("standard input (-) can be read once")
    found: dict[Path | str, Input] = {}
    for item in (item for argument in arguments for item in _of(argument)):
        found.setdefault(item.path or item.label, item)
    return list(found.values())


def _of(argument: str) -> Iterator[Input]:
    path = Path(argument)
    if argument == STDIN:
        yield Input("stdin", None, "standard input")
    elif path.is_dir():
        yield from _in_folder(path)
    elif glob.has_magic(argument) and not path.exists():
        yield from _matching(argument)
    else:
        yield _file(path, path.name)


def _in_folder(folder: Path) -> Iterator[Input]:
    empty = True
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and name != _INDEX and _begins_as_radiograph(path):
                empty = False
                yield _file(path, path.relative_to(folder).as_posix())
    if empty:
        yield _nothing(str(folder), "holds no DICOM, PNG or JPEG file")


def _matching(pattern: str) -> Iterator[Input]:
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - patterns may be absolute
    files = [path for path in paths if path.is_file()]
    if not files:
        yield _nothing(pattern, "no file matches")
    for path in files:
        yield _file(path, path.name)


def _begins_as_radiograph(path: Path) -> bool:
    if not path.is_file():  # a pipe would block, a device may have no end
        return False
    try:
        with path.open("rb") as file:
            return looks_readable(file.read(_HEAD_BYTES))
    except OSError:
        return True  # its reason is reported when its turn comes


def _file(path: Path, name: str) -> Input:
    try:
        path.stat()
    except OSError as error:
        return Input(name, path, _printable(str(path)), error)
    return Input(name, path, _printable(str(path)))


def _nothing(argument: str, why: str) -> Input:
    return Input(argument, None, _printable(argument), MalformedInput(why))


def _printable(text: str) -> str:
    """Return a name without characters that could move the cursor or colour a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
