"""Pictures of the checks: the radiographs of a run, lateral views included, and outliers.

data.tables    --Selection--> frontal and lateral radiographs
checks.outliers --Selection--> pictures that are no chest radiographs
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from radiograph.errors import InputError
from radiograph.image import Radiograph
from radiograph.limits import as_malformed_input
from radiograph.readers.read import read as read_radiograph
from training.config.finetune import FinetuneConfig
from training.data.catalog import open_table
from training.data.rows.reader import Reader, Row
from training.data.rows.selection import Selection
from training.refusal import RunRefused


@dataclass(frozen=True)
class Source:
    """Rows of one data set.

    Attributes:
        name: name of the data set.
        rows: its rows, each image once.
        outlier: True if its pictures are no chest radiographs.
        reader: reads their files; threads may share it, as an archive has a single position.
    """

    name: str
    rows: tuple[Row, ...]
    outlier: bool
    reader: Reader
    lock: Lock

    def radiograph(self, row: Row) -> Radiograph | None:
        """Read one picture; one that cannot be read is named on standard error, and None."""
        try:
            with self.lock:
                data = self.reader.read(row.image)
            with as_malformed_input("the image cannot be used"):
                return read_radiograph(data)
        except (InputError, OSError) as error:
            print(f"left out, {row.table} {row.image}: {error}", file=sys.stderr)
            return None


def sources(
    config: FinetuneConfig,
    split: str | None = None,
    licences: Sequence[str] | None = None,
    left_out: Counter[str] | None = None,
) -> Iterator[Source]:
    """Yield the data sets of a run, those of outliers last.

    Args:
        config: configuration of a run with checks.
        split: split of the rows; None takes all.
        licences: licence classes of rows that are only measured; None takes the rows that a
            training may use.
        left_out: counts the reasons of rows that are left out.

    Raises:
        MissingData: a data set is incomplete.
    """
    outliers = config.checks.outliers if config.checks else ()
    for name in (*config.data.tables, *outliers):
        table, selection = open_table(config.data, name), Selection(config.data, licences)
        rows = []
        for row in table.rows():
            reason = selection.reason_left_out(row, lateral=True)
            if not reason and split in (None, row.split):
                rows.append(row)
            elif reason and left_out is not None:
                left_out[reason] += 1
        yield Source(name, tuple(rows), name in outliers, table, Lock())


def check_sources(config: FinetuneConfig) -> None:
    """Check that every data set of the checks has training rows.

    Raises:
        RunRefused: one has none; the message names it.
        MissingData: a data set is incomplete.
    """
    if empty := [source.name for source in sources(config, "train") if not source.rows]:
        raise RunRefused(f"checks: no training row in {', '.join(empty)}")
