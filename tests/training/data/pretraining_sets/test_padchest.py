"""PadChest on a miniature copy in its real format."""

from pathlib import Path

from tests.builders.datasets import tiny_sets
from tests.builders.datasets.opened_sets import cached, kept
from tests.builders.datasets.tiny_sets import write, write_csv
from training.data.rows.splits import split_of


def test_padchest_keeps_the_spanish_text_and_frontal_views(tmp_path: Path) -> None:
    line = {
        "ImageID": "1_a.png",
        "ImageDir": "0",
        "StudyDate_DICOM": "20140915",
        "PatientID": "7",
        "PatientBirth": "1950.0",
        "PatientSex_DICOM": "M",
        "Projection": "PA",
        "Report": "sin hallazg patolog .  torax normal .",
        "Labels": "['normal', ' scoliosis']",
    }
    lines = [
        line,
        line | {"ImageID": "2_a.png", "Projection": "AP_horizontal", "Labels": "[nan, "},
        line | {"ImageID": "3_a.png", "Projection": "L"},
        line | {"ImageID": "4_a.png", "Report": ""},
        line | {"ImageID": "5_a.png", "ImageDir": "../.."},
    ]
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    write_csv(tmp_path / name, tiny_sets.PADCHEST, lines)
    write(tmp_path / "0" / "1_a.png", tiny_sets.deep_png(1))
    write(tmp_path / "images" / "2_a.png", tiny_sets.deep_png(2))
    cache = cached(tmp_path, "padchest")
    said = (split_of("7"), "sin hallazg patolog . torax normal .")
    assert kept(cache) == {"1_a.png": said, "2_a.png": said}
    row = cache.samples[0].row
    assert (row.labels, row.age, row.sex) == (("normal", "scoliosis"), "64", "M")
    assert cache.left_out == {
        "view L": 1,
        "empty report": 1,
        "the path leads out of the data set": 1,
    }
