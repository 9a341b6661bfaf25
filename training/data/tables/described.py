"""Rows in the terms of a description: which findings, masks and boxes a row has or lacks.

    NAME.yaml beside the table, the configuration, or a file of the package --> Description
    rows as the reader gives them + Description --> findings, masks, boxes, and what is known

A finding that a data set does not label is not known, never absent: a child with pneumonia in
the Kermany set may well have an effusion.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from radiograph.geometry.geometry import Box
from radiograph.terminology.codes import CODES
from training.config.description import (
    BoxDescription,
    Description,
    FindingDescription,
    MaskDescription,
)
from training.config.files import describe_error
from training.data.annotations.masks import LUNGS
from training.data.rows.dataset_files import DataError, digest, records, table
from training.data.rows.reader import Reader, Row
from training.data.tables import annotation_columns
from training.data.tables.annotation_columns import NOTHING, Annotations

SHIPPED = Path(__file__).parents[1] / "descriptions"
"""Folder of the descriptions of public data sets."""
_LARGEST_BYTES = 2**20


def description_of(root: Path, name: str) -> Description:
    """Return the description beside a table, or the one of the package; else the default one.

    Raises:
        DataError: the file is not a description; the message names the key.
    """
    beside = (root / f"{name}.yaml", root / name / f"{name}.yaml")
    for path in (*beside, SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return read_description(path)
    return Description()


def read_description(path: Path) -> Description:
    """Read and validate a description.

    Raises:
        DataError: the file is too large, is not YAML, or has a key or value that is not allowed.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError("larger than 1 MiB")
        return Description.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except ValidationError as error:
        lines = describe_error(error).splitlines()
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise DataError(f"{path} is no description of a data set: {lines[0]}{more}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no description of a data set: {reason}") from error


_ENDINGS = (".csv", ".csv.gz")
_Further = tuple[tuple[str, ...], Annotations | None]
"""Labels and annotations of one row of a supplement."""


class Described:
    """A reader whose rows carry the terms of a description."""

    def __init__(self, reader: Reader, description: Description, root: Path) -> None:
        """Describe a reader.

        Args:
            reader: reader of the data set.
            description: its description.
            root: folder in which a supplement is.
        """
        self.reader, self.description = reader, description
        name = description.supplement
        there = name is not None and any((root / f"{name}{end}").is_file() for end in _ENDINGS)
        self.supplement = table(root, f"{name}.csv", "the data set") if there else None

    def rows(self) -> Iterator[Row]:
        """Yield every row of the reader in the terms of the description."""
        further = dict(self._supplement())
        whole = _with_names(self.description, self._joined(further))
        for row in self._joined(further):
            yield described(row, whole)

    def read(self, path: str) -> bytes:
        """Return the bytes of an image or a mask of a row."""
        return self.reader.read(path)

    def fingerprint(self) -> bytes:
        """Return bytes that change with the data set, its description or its supplement."""
        supplement = digest(self.supplement) if self.supplement else b""
        described = hashlib.sha256(self.description.model_dump_json().encode()).digest()
        return self.reader.fingerprint() + described + supplement

    def _joined(self, further: Mapping[str, _Further]) -> Iterator[Row]:
        for row in self.reader.rows():
            yield _join(row, *more) if (more := further.get(row.image)) else row

    def _supplement(self) -> Iterator[tuple[str, _Further]]:
        if self.supplement is not None:
            for record in records(self.supplement, ("image",)):
                parsed = annotation_columns.parse(record)
                yield record["image"], (annotation_columns.labels(record), parsed)


def _join(row: Row, labels: tuple[str, ...], annotations: Annotations | None) -> Row:
    """Return a row with what a supplement adds to it."""
    found = annotations or NOTHING
    return replace(
        row,
        labels=(*row.labels, *labels),
        boxes=found.boxes or row.boxes,
        masks=row.masks | found.masks,
        extra=row.extra | found.extra,
        left_out=row.left_out or ("" if annotations else "malformed annotation"),
    )


def described(row: Row, description: Description) -> Row:
    """Return a row in the terms of a description that has all three sections."""
    labels = {*row.labels, *(f"{name}={value}" for name, value in row.extra.items())}
    normal = bool(labels & set(description.normal))
    masks = dict(_masks(row, description))
    tells_normal = bool(description.normal) and description.known_for != "listed"
    return replace(
        row,
        masks=masks,
        boxes=tuple(_boxes(row, description)),
        findings=dict(_findings(row, labels, description, normal=normal)),
        normal=normal if tells_normal else True if normal else None,
        nothing_else=normal and description.normal_shows_nothing,
        organs=tuple(
            name
            for name in description.organs
            if name in masks or (row.lung_mask and name in LUNGS)
        ),
        complete_masks=tuple(
            name
            for name, entry in (description.masks or {}).items()
            if entry.known_for == "every_row"
        ),
        complete_boxes=tuple(
            name
            for name, entry in (description.boxes or {}).items()
            if entry.known_for == "every_row"
            or labels & set(entry.absent_with)
            or (normal and name not in description.organs)
        ),
    )


def _findings(
    row: Row, labels: set[str], description: Description, *, normal: bool
) -> Iterator[tuple[str, bool]]:
    for name, entry in (description.findings or {}).items():
        known_for = entry.known_for or description.known_for
        own = set(spelled(name, entry.labels))
        if labels & set(entry.absent):
            yield name, False
        elif labels & own:
            yield name, True
        elif own & set(row.uncertain):
            if entry.uncertain != "unknown":
                yield name, entry.uncertain == "present"
        elif normal or known_for == "every_row" or (known_for == "labelled_rows" and row.labels):
            yield name, False


def _masks(row: Row, description: Description) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, entry in (description.masks or {}).items():
        paths = [row.masks[n] for n in spelled(name, entry.names) if n in row.masks]
        if paths:
            yield name, tuple(path for of_name in paths for path in of_name)


def _boxes(row: Row, description: Description) -> Iterator[tuple[str, Box]]:
    for name, entry in (description.boxes or {}).items():
        drawn = {label for label, _ in row.boxes}
        names = set(spelled(name, entry.names))
        counted = names if names & drawn else set(entry.instead)
        yield from ((name, box) for label, box in row.boxes if label in counted)


def spelled(name: str, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return how a table spells a name: as the description says, else as the name itself."""
    return (name,) if given is None else given


def _with_names(description: Description, rows: Iterator[Row]) -> Description:
    """Return a description in which a section that is null has every name of the rows."""
    if None not in (description.findings, description.masks, description.boxes):
        return description
    labels: dict[str, None] = {}
    masks: dict[str, None] = {}
    boxes: dict[str, None] = {}
    for row in rows:
        labels |= dict.fromkeys(row.labels) | dict.fromkeys(row.uncertain)
        masks |= dict.fromkeys(row.masks)
        boxes |= dict.fromkeys(label for label, _ in row.boxes)
    found = _terms(name for name in labels if name not in description.normal)
    sections = {
        "findings": {n: FindingDescription(labels=spelled) for n, spelled in found.items()},
        "masks": {n: MaskDescription(names=spelled) for n, spelled in _terms(masks).items()},
        "boxes": {n: BoxDescription(names=spelled) for n, spelled in _terms(boxes).items()},
    }
    missing = {key: entry for key, entry in sections.items() if getattr(description, key) is None}
    return description.model_copy(update=missing)


def _terms(names: Iterator[str] | Mapping[str, None]) -> dict[str, tuple[str, ...]]:
    """Return each name with its spelling, and the coded names that they are spellings of."""
    coded = {_plain(name): name for name in CODES}
    found: dict[str, list[str]] = {}
    for name in names:
        for term in dict.fromkeys((name, coded.get(_plain(name), name))):
            found.setdefault(term, []).append(name)
    return {term: tuple(spellings) for term, spellings in found.items()}


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
