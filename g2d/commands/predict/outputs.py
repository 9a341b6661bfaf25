"""Destinations of answers: standard output, files by their suffix, and folders.

    --out, --format --plan--> Output --write--> JSON | table | overlay

Everything is checked before any work is done, and an answer whose file cannot be written after all
is printed instead of being lost.
"""

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from g2d.commands.predict.inputs import STDIN, Input
from g2d.failures import INPUT, RefusedCommand, report
from g2d.results import Result
from g2d.results.tables import COLUMNS, rows

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from service.encoders.picture_formats import PictureFormat
    from service.inference.results import AnalysisResult

Form = Literal["json", "csv"]

JSON, JSON_LINES, TABLE, OVERLAY = ".json", ".jsonl", ".csv", ".png"


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer on its way out.

    Attributes:
        item: the radiograph.
        result: the answer; it has a preview if an overlay is wanted.
        text: its JSON, on one line.
    """

    item: Input
    result: "AnalysisResult"
    text: str

    @property
    def line(self) -> str:
        """The JSON with the name of the file as its first member, on one line."""
        name = STDIN if self.item.path is None else str(self.item.path)
        return f'{{"file":{json.dumps(name)},{self.text[1:]}'

    def table(self, *, header: bool) -> str:
        """Return the lines of the table, with or without the line of its columns."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if header:
            writer.writeheader()
        for row in rows(Result.from_json(self.text), self.item.label):
            told = {k: json.dumps(v) if isinstance(v, bool) else v for k, v in row.items()}
            writer.writerow(told)
        return text.getvalue()

    def picture(self, form: "PictureFormat") -> bytes:
        """Return the overlay, encoded."""
        from service.encoders import overlay_encoder

        return form.write(overlay_encoder.draw(self.result))


@dataclass
class Output:
    """Destination of the answers of one command.

    Attributes:
        printed: form of what is printed; None prints nothing.
        file: file of all answers, by its suffix, or None.
        folder: folder of two files for each answer, or None.
        overlay: format of overlays; None draws none.
    """

    printed: Form | None = "json"
    file: Path | None = None
    folder: Path | None = None
    overlay: "PictureFormat | None" = None
    _begun: set[str] = field(default_factory=set)

    def write(self, answer: Answer) -> int:
        """Write an answer everywhere.

        Returns:
            0, or the exit code if a file cannot be written; the answer is then printed.
        """
        if self.printed is not None:
            self._print(answer, self.printed)
        try:
            self._save(answer)
        except OSError as error:
            report(f"{self.file or self.folder}: {error.strerror or error}")
            if self.printed is None:
                self._print(answer, "json")
            return INPUT
        return 0

    def _print(self, answer: Answer, form: Form) -> None:
        if form == "json":
            typer.echo(answer.line)
        else:
            typer.echo(answer.table(header=self._is_first("printed")), nl=False)

    def _save(self, answer: Answer) -> None:
        if self.folder is not None:
            place = self.folder / answer.item.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.with_name(place.name + JSON).write_text(f"{answer.line}\n")
            if self.overlay is not None:
                place.with_name(place.name + OVERLAY).write_bytes(answer.picture(self.overlay))
        elif self.file is not None and self.overlay is not None:
            self.file.write_bytes(answer.picture(self.overlay))
        elif self.file is not None:
            self._append(self.file, answer)

    def _append(self, file: Path, answer: Answer) -> None:
        """Add an answer to a file, which the first one empties."""
        first = self._is_first("saved")
        table = file.suffix.lower() == TABLE
        text = answer.table(header=first) if table else f"{answer.line}\n"
        with file.open("w" if first else "a", encoding="utf-8", newline="") as stream:
            stream.write(text)

    def _is_first(self, stream: str) -> bool:
        first = stream not in self._begun
        self._begun.add(stream)
        return first


def plan(out: str | None, form: Form | None, items: Sequence[Input]) -> Output:
    """Return where answers go, and check that they can go there.

    Args:
        out: value of `--out`: a file with one of the suffixes, or a folder.
        form: value of `--format`.
        items: the radiographs.

    Raises:
        RefusedCommand: the suffix is unknown or does not go with the rest, a file would be
            overwritten by another one, or the place cannot be written.
    """
    if out is None:
        return Output(form or "json")
    path = Path(out)
    try:
        if path.is_dir() or out.endswith("/") or not path.suffix:
            return _in_folder(path, form, items)
        return _in_file(path, form, items)
    except OSError as error:
        raise RefusedCommand(f"--out {out}: {error.strerror or error}") from error


def _in_folder(folder: Path, form: Form | None, items: Sequence[Input]) -> Output:
    from service.encoders.picture_formats import of_suffix

    if form is not None:
        raise RefusedCommand("--format does not go with a folder, which gets JSON and PNG files")
    names = [item.name for item in items]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RefusedCommand(f"two radiographs would be written to {folder / twice}{JSON}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # raises if nothing can be written there
        pass
    return Output(None, folder=folder, overlay=of_suffix(OVERLAY))


def _in_file(file: Path, form: Form | None, items: Sequence[Input]) -> Output:
    from service.encoders import picture_formats

    suffix = file.suffix.lower()
    picture = picture_formats.of_suffix(suffix)
    if picture is None and suffix not in (JSON, JSON_LINES, TABLE):
        pictures = [s for kind in picture_formats.FORMATS.values() for s in kind.suffixes]
        known = ", ".join((*pictures, JSON, JSON_LINES, TABLE))
        raise RefusedCommand(f"--out {file}: a file has one of {known}; a folder ends with /")
    if len(items) > 1 and suffix not in (JSON_LINES, TABLE):
        raise RefusedCommand(
            f"--out {file} holds one radiograph: give a folder, {JSON_LINES} or {TABLE} for several"
        )
    if form is not None and picture is None:
        raise RefusedCommand(f"--format does not go with --out {file}, whose suffix is its form")
    if any(item.path is not None and _same(item.path, file) for item in items):
        raise RefusedCommand(f"--out {file} would overwrite a radiograph")
    _require_writable(file)
    return Output(form or "json" if picture else None, file=file, overlay=picture)


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _require_writable(file: Path) -> None:
    """Open a file for writing without changing it.

    Raises:
        OSError: it cannot be written.
    """
    existed = file.exists()
    file.open("ab").close()
    if not existed:
        file.unlink()
