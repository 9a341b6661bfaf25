"""Open-i in both releases, on miniature copies in their real format."""

from pathlib import Path

from tests.builders.datasets.opened_sets import cached, kept
from tests.builders.datasets.tiny_sets import write, write_csv
from tests.builders.training.runs.tiny_runs import picture
from training.data.rows.splits import split_of


def _projections(folder: Path) -> None:
    columns = ("uid", "filename", "projection")
    images = (("1_IM-0001-4001", "Frontal"), ("1_IM-0001-3001", "Lateral"))
    lines = [{"uid": 1, "filename": f"{i}.dcm.png", "projection": view} for i, view in images]
    write_csv(folder / "indiana_projections.csv", columns, lines)


def test_open_i_from_its_xml(tmp_path: Path) -> None:
    _projections(tmp_path)
    parts = "".join(f'<parentImage id="CXR1_1_IM-0001-{n}"/>' for n in (3001, 4001, 9))
    abstract = (
        '<AbstractText Label="COMPARISON">None.</AbstractText>'
        '<AbstractText Label="FINDINGS">No XXXX of effusion.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>'
    )
    write(tmp_path / "ecgen-radiology/1.xml", f"<eCitation>{abstract}{parts}</eCitation>".encode())
    write(tmp_path / "ecgen-radiology/2.xml", b"<eCitation><broken")
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb">]><eCitation>&b;</eCitation>'
    write(tmp_path / "ecgen-radiology/3.xml", bomb)
    write(tmp_path / "NLMCXR_png/CXR1_1_IM-0001-4001.png", picture(1))
    cache = cached(tmp_path, "open_i")
    said = (split_of("1"), "Normal chest. No of effusion.")
    assert kept(cache) == {"CXR1_1_IM-0001-4001.png": said}
    assert cache.left_out == {"report unreadable": 2, "lateral view": 1, "view not stated": 1}


def test_open_i_from_kaggle(tmp_path: Path) -> None:
    _projections(tmp_path)
    columns = ("uid", "MeSH", "Problems", "image", "indication", "findings", "impression")
    line = {"uid": 1, "findings": "Heart is normal.", "impression": "Normal chest x-XXXX."}
    write_csv(tmp_path / "indiana_reports.csv", columns, [line])
    write(tmp_path / "images/images_normalized/1_IM-0001-4001.dcm.png", picture(1))
    cache = cached(tmp_path, "open_i")
    assert [s.row.text for s in cache.samples] == ["Normal chest x-. Heart is normal."]
