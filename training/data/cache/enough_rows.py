"""Check of the number of rows before a cache is built, which may take hours.

readers --licence, view, report--> rows of the training split, until there are enough
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig
from training.data.cache.build import selected_rows
from training.data.cache.cache import is_built
from training.data.cache.render import LeftOut
from training.data.catalog import open_table
from training.data.rows.reader import Row
from training.refusal import DataRefused, RunRefused


def check_tables(config: DataConfig) -> None:
    """Check that the data sets of a run are there, without reading a row.

    Raises:
        RunRefused: the root is no folder.
        MissingData: a data set is incomplete.
    """
    if not config.root.is_dir():
        found = "is a file" if config.root.exists() else "does not exist"
        raise DataRefused(f"data.root: {config.root} {found}; give a folder with --data")
    for name in config.tables:
        open_table(config, name)


def check_enough(
    config: DataConfig,
    spec: PreprocessSpec,
    folder: Path,
    least: int,
    usable: Callable[[Row], bool] = lambda _: True,
) -> None:
    """Check that the tables list enough rows to train on, before a cache is built.

    Neither a cache that exists nor shards are checked.

    Args:
        config: selection of rows.
        spec: preprocessing.
        folder: folder of all caches.
        least: number of training rows that one step needs.
        usable: tells whether the run can train on a row.

    Raises:
        RunRefused: there are fewer; the message gives the reasons.
    """
    if config.shards is not None or is_built(config, spec, folder):
        return
    left_out: list[LeftOut] = []
    found, others = 0, Counter[str]()
    for row in selected_rows(config, left_out):
        if row.split != "train":
            others["not in the training split"] += 1
        elif not usable(row):
            others["nothing to learn from"] += 1
        else:
            found += 1
        if found >= least:
            return
    others.update(item.reason for item in left_out)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in others.most_common(4))
    raise RunRefused(
        f"data: {found} training rows, and a step needs {least}; choose a smaller batch_size or"
        f" other tables or licences{f' (left out: {reasons})' if reasons else ''}"
    )
