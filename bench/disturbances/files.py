"""Files of which each has an answer of its own, and the verdict on what the service answered.

radiographs --calm service--> known answers        before anything is disturbed
answer of a file --compared with the known answers--> right, mixed up or wrong
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.inputs import synthetic_dicom

TASKS = "classify,segment"
PATH = f"/v1/analyze?tasks={TASKS}"
MEDIA_TYPE = "application/dicom"
_OWN = ("request_id", "timings_ms")
"""Members that differ between two answers about the same file."""
_ROWS, _COLUMNS = 256, 224


class Verdict(StrEnum):
    """Judgement of one answer."""

    RIGHT = "right"
    MIXED_UP = "mixed up"
    WRONG = "wrong"


@dataclass(frozen=True)
class File:
    """One radiograph.

    Attributes:
        data: bytes of the file.
        sha256: their digest.
    """

    data: bytes
    sha256: str


def radiographs(count: int) -> tuple[File, ...]:
    """Return synthetic radiographs that differ in their pixels and their identifiers."""
    bodies = (synthetic_dicom(_ROWS, _COLUMNS, number) for number in range(count))
    return tuple(File(data, hashlib.sha256(data).hexdigest()) for data in bodies)


def archive(files: Sequence[File]) -> bytes:
    """Return a zip file, the same each time: a key stands for the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number, file in enumerate(files):
            packed.writestr(zipfile.ZipInfo(f"IM{number:04d}"), file.data)
    return buffer.getvalue()


class KnownAnswers:
    """Answers of the undisturbed service, by the digest of the file."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}

    def add(self, file: File, answer: bytes) -> None:
        """Record the answer about a file.

        Raises:
            ValueError: another file has the same answer, so that a mix-up would not be noticed.
        """
        text = _comparable(json.loads(answer))
        if text in self._answers.values():
            raise ValueError("two files have the same answer")
        self._answers[file.sha256] = text

    def judge(self, sha256: str, answer: Mapping[str, Any]) -> Verdict:
        """Compare an answer with the known one of its file."""
        text = _comparable(answer)
        if text == self._answers[sha256]:
            return Verdict.RIGHT
        return Verdict.MIXED_UP if text in self._answers.values() else Verdict.WRONG


def _comparable(answer: Mapping[str, Any]) -> str:
    return json.dumps({key: answer[key] for key in sorted(answer) if key not in _OWN})
