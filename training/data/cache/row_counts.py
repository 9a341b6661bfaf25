"""Numbers of the radiographs that a run reads, by data set and split, and of their texts.

cache or rows --> RowCounts --write--> rows.json of a run, which the model card cites
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from radiograph.strict_model import StrictModel
from training.atomic_write import write_atomically
from training.data.cache.cache import Cache
from training.data.rows.reader import Row
from training.data.text.synthetic_reports import report

ROWS = "rows.json"
"""Name of the file in the folder of a run."""


class TableCounts(StrictModel):
    """Radiographs of one data set."""

    rows: dict[str, int]
    """Number of radiographs by split."""
    own_text: int
    """Number of radiographs with a report, or other text, of the data set."""
    synthetic_text: int
    """Number of radiographs whose text is made from labels."""
    without_text: int
    """Number of radiographs without any text."""
    licences: tuple[str, ...]
    """Licences, the most frequent one first."""


class RowCounts(StrictModel):
    """Radiographs of a run."""

    tables: dict[str, TableCounts]
    """Data set -> its numbers."""
    left_out: dict[str, int]
    """Reason -> number of rows that the run does not read."""


def count_rows(cache: Cache) -> RowCounts:
    """Count the radiographs of a cache."""
    return count((sample.row for sample in cache.samples), cache.left_out)


def count(radiographs: Iterable[Row], left_out: Mapping[str, int]) -> RowCounts:
    """Count radiographs.

    Args:
        radiographs: rows that a run reads.
        left_out: reason -> number of rows that it does not read.
    """
    rows: dict[str, Counter[str]] = {}
    texts: dict[str, Counter[str]] = {}
    licences: dict[str, Counter[str]] = {}
    for row in radiographs:
        text = report(row, random.Random(0))
        kind = "without" if text is None else "synthetic" if text.synthetic else "own"
        for counts, key in ((rows, row.split), (texts, kind), (licences, row.licence)):
            counts.setdefault(row.table, Counter())[key] += 1
    tables = {
        name: TableCounts(
            rows=dict(rows[name]),
            own_text=texts[name]["own"],
            synthetic_text=texts[name]["synthetic"],
            without_text=texts[name]["without"],
            licences=tuple(licence for licence, _ in licences[name].most_common()),
        )
        for name in rows
    }
    return RowCounts(tables=tables, left_out=dict(left_out))


def write_counts(folder: Path, counts: RowCounts) -> None:
    """Write `rows.json` of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ROWS, counts.model_dump_json(indent=2).encode())


def with_earlier(counts: RowCounts, runs: Iterable[Path]) -> RowCounts:
    """Return the numbers of a run with those of data sets that only earlier runs read.

    Args:
        counts: radiographs of the run.
        runs: folders of the earlier runs; those without `rows.json` add nothing.
    """
    tables = dict(counts.tables)
    for folder in runs:
        if (file := folder / ROWS).is_file():
            earlier = RowCounts.model_validate_json(file.read_text()).tables
            tables |= {name: table for name, table in earlier.items() if name not in tables}
    return counts.model_copy(update={"tables": tables})
