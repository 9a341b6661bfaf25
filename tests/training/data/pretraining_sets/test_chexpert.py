"""CheXpert and CheXpert Plus on miniature copies in their real format."""

from pathlib import Path

import pytest

from tests.builders.datasets import tiny_sets
from tests.builders.datasets.opened_sets import cached
from tests.builders.datasets.tiny_sets import REPORT, SAID, jpeg, write, write_csv
from tests.builders.training.runs.tiny_runs import picture
from training.data.pretraining_sets.chexpert import LABELS


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0-small/", "CheXpert-v1.0/", ""])
def test_chexpert_has_labels_and_no_report(prefix: str, tmp_path: Path) -> None:
    columns = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
    place = "patient00001/study1/view1_frontal.jpg"
    line = {"Path": f"{prefix}train/{place}", "Sex": "Female", "Age": 68, "AP/PA": "AP"}
    line |= {"Frontal/Lateral": "Frontal", "Edema": "1.0", "Fracture": "-1.0", "Pneumonia": "0.0"}
    side = line | {"Path": f"{prefix}train/p/view2_lateral.jpg", "Frontal/Lateral": "Lateral"}
    write_csv(tmp_path / "train.csv", columns, [line, side])
    write_csv(tmp_path / "valid.csv", columns, [line | {"Path": f"{prefix}valid/{place}"}])
    for split in ("train", "valid"):
        write(tmp_path / split / place, jpeg(1))
    cache = cached(tmp_path, "chexpert")
    row = cache.samples[0].row
    assert (row.labels, row.uncertain, row.text) == (("Edema",), ("Fracture",), "")
    assert (row.patient_id, row.sex, row.age, row.view) == ("patient00001", "F", "68", "AP")
    assert [s.row.split for s in cache.samples] == ["train", "valid"]
    assert cache.left_out == {"lateral view": 1}


def test_chexpert_plus_reads_sections_or_the_report(tmp_path: Path) -> None:
    path = "train/patient42142/study5/view1_frontal.jpg"
    line = {
        "path_to_image": path,
        "frontal_lateral": "Frontal",
        "ap_pa": "AP",
        "deid_patient_id": "patient42142",
        "section_impression": "\n1.TUBE REMAINS IN PLACE.\n\n2.NO PNEUMOTHORAX.",
        "split": "train",
    }
    other = path.replace("study5", "study6")
    whole = line | {"path_to_image": other, "section_impression": "", "report": REPORT}
    side = line | {"path_to_image": "train/x/view2_lateral.jpg", "frontal_lateral": "Lateral"}
    table = tmp_path / "df_chexpert_plus_240401.csv"
    write_csv(table, tiny_sets.CHEXPERT_PLUS, [line, whole, side])
    for image in (path, other):
        write(tmp_path / "PNG" / Path(image).with_suffix(".png"), picture(1))
    cache = cached(tmp_path, "chexpert_plus")
    said = [sample.row.text for sample in cache.samples]
    assert said == ["TUBE REMAINS IN PLACE. NO PNEUMOTHORAX.", SAID]
    assert cache.left_out == {"lateral view": 1}
