"""Files of a data set: paths stay inside its folder, and text of any encoding is read."""

import gzip
from pathlib import Path

import pytest

from training.data.rows.dataset_files import DataError, PathRefused, decode, inside, records


@pytest.mark.parametrize(
    "path", ["../x.png", "a/../../x", "/etc/passwd", "", "a\\..\\x", "a\0.png", ".."]
)
def test_a_path_out_of_the_data_set_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        inside(tmp_path, path)


def test_bytes_that_are_not_utf8_are_read_as_windows_1252() -> None:
    assert decode(b"FINDINGS: caf\xe9 au lait \x96 stable") == "FINDINGS: café au lait – stable"
    assert decode(b"\xef\xbb\xbfFINDINGS: clear") == "FINDINGS: clear"
    assert decode(b"\x81\xff") != ""


HEADER, LINE = "image,text,patient", '1.png,"Clear, as before: café",p1'
EXPECTED = [{"image": "1.png", "text": "Clear, as before: café", "patient": "p1"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_spreadsheet_programs_are_read(
    encoding: str, delimiter: str, tmp_path: Path
) -> None:
    text = f"{HEADER}\r\n{LINE}\r\n".replace(",", delimiter).replace(f"{delimiter} as", ", as")
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    for name in ("a.csv", "b.csv.gz"):
        assert list(records(tmp_path / name, ("image", "text"))) == EXPECTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,text,patient\n1.png,Clear, no change,p1\n", "after line 2: it has more fields"),
        ("image,text,image\n1.png,Clear,2.png\n", "has the column image twice"),
        ("picture;text\n1.png;Clear\n", "has no column image, text; its columns are: picture;text"),
        ("", "has no column image, text; its columns are: "),
        ("\n\n", "has no column image, text"),
    ],
)
def test_a_table_of_other_columns_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list(records(tmp_path / "a.csv", ("image", "text")))


def test_a_table_in_utf16_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"{HEADER}\n{LINE}\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match="cannot be read after line"):
        list(records(tmp_path / "a.csv", ("image", "text")))


def test_empty_fields_beyond_the_header_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\n{LINE},,\n", encoding="utf-8")
    assert list(records(tmp_path / "a.csv", ("image",))) == EXPECTED


def test_a_path_with_backslashes_names_them(tmp_path: Path) -> None:
    with pytest.raises(PathRefused, match="the path has a backslash; folders are separated by /"):
        inside(tmp_path, "images\\1.png")
