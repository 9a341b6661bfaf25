"""Files of a data set: paths stay inside its folder, and text of any encoding is read."""

from pathlib import Path

import pytest

from training.data.rows.dataset_files import PathRefused, decode, inside


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
