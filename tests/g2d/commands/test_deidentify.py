"""`g2d deidentify`: every file is written or refused, and the source's names are not used."""

from pathlib import Path

from typer.testing import CliRunner

from g2d.cli import app
from tests.builders.files.dicom_files import dicom, ramp

RUNNER = CliRunner()


def run(*arguments: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["deidentify", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_folder_is_deidentified_and_what_is_refused_is_named(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "DOE").mkdir(parents=True)
    (source / "DOE/one.dcm").write_bytes(dicom(ramp(), PatientID="MRN-1"))
    (source / "scan.dcm").write_bytes(dicom(ramp(), ConversionType="SI"))
    (source / "note.txt").write_text("no image")
    code, output = run(source, out)
    assert code == 3
    assert f"1 written to {out}, 2 refused" in output
    assert "scan.dcm: a scanned image" in output
    assert "note.txt: the file is not DICOM" in output
    (written,) = out.rglob("*.dcm")
    assert "DOE" not in str(written.relative_to(out))


def test_one_secret_gives_one_mapping(tmp_path: Path) -> None:
    file, key = tmp_path / "one.dcm", tmp_path / "key"
    file.write_bytes(dicom(ramp(), PatientID="MRN-1"))
    key.write_bytes(b"a secret of 16 bytes")
    for name in ("a", "b"):
        assert run(file, tmp_path / name, "--key", key)[0] == 0
    (one,), (other,) = (tmp_path.glob(f"{name}/*/*.dcm") for name in "ab")
    assert one.relative_to(tmp_path / "a") == other.relative_to(tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()


def test_bad_options_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    file, key, out = tmp_path / "one.dcm", tmp_path / "key", tmp_path / "out"
    file.write_bytes(dicom(ramp()))
    key.write_bytes(b"short")
    assert run(file, out, "--key", key)[0] == 2
    assert run(file, out, "--dates", "keep")[0] == 2
    assert run(tmp_path / "nowhere", out)[0] == 2
    assert run(file, tmp_path)[0] == 2  # not empty
    assert not out.exists()
