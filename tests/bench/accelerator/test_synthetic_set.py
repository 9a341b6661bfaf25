"""The drawn thoraces are a radiograph table that the readers accept."""

from pathlib import Path

from bench.accelerator.synthetic_set import FINDING, NAME, STRUCTURES, write_set
from training.data.tables.radiograph_table import RadiographTable


def test_every_row_has_masks_and_every_other_one_a_nodule_inside_the_right_lung(
    tmp_path: Path,
) -> None:
    write_set(tmp_path, count=8)
    rows = RadiographTable(tmp_path, NAME).rows()
    assert [row.split for row in rows].count("train") == 6
    assert all(set(row.masks) == set(STRUCTURES) for row in rows)
    assert [len(row.boxes) for row in rows] == [0, 1] * 4
    assert {label for row in rows for label, _ in row.boxes} == {FINDING}
    # The patient's right lung lies on the left of the image.
    assert all(box[2] < 128 for row in rows for _, box in row.boxes)
