"""Numbers of the radiographs of a run and of the runs before it."""

from pathlib import Path

from training.data.cache.row_counts import RowCounts, TableCounts, with_earlier, write_counts


def _counts(**images: int) -> RowCounts:
    tables = {
        name: TableCounts(
            rows={"train": n}, own_text=n, synthetic_text=0, without_text=0, licences=("CC0",)
        )
        for name, n in images.items()
    }
    return RowCounts(tables=tables, left_out={})


def test_data_sets_of_earlier_runs_are_counted_once(tmp_path: Path) -> None:
    write_counts(tmp_path / "pretrain", _counts(children=9, questions=5))
    folders = [tmp_path / "pretrain", tmp_path / "never_counted"]
    merged = with_earlier(_counts(children=7, adults=3), folders)
    rows = {name: table.rows["train"] for name, table in merged.tables.items()}
    assert rows == {"children": 7, "adults": 3, "questions": 5}
