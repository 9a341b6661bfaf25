from pathlib import Path

from bench.inputs import synthetic_dicom
from bench.scenarios import stages
from bench.scenarios.timed_client import COLUMNS
from service.encoders.picture_formats import FORMATS


def row(encode_ms: float) -> list[float]:
    columns = [encode_ms if name == "encode" else 1000.0 for name in COLUMNS]
    return [1000.0, 1000.0, *columns, 1000.0]


def test_the_goal_is_that_of_drawing_and_encoding_a_png() -> None:
    rows = {"segment (PNG)": row(20.0), "ground (PNG)": row(30.0), "ground (WebP)": row(90.0)}
    held, missed = stages.overlay_checks(rows)
    assert (held.measured, held.held) == ("20.00 ms", True)
    assert (missed.measured, missed.held) == ("30.00 ms", False)


def test_every_format_is_compared_with_a_png_in_one_piece(tmp_path: Path) -> None:
    file = tmp_path / "chest.dcm"
    file.write_bytes(synthetic_dicom(250, 204))
    found = stages.measure_encoders(file, repetitions=1)
    assert (found["width"], found["height"]) == (204, 250)
    one_piece, *others = found["rows"]
    assert others == list(FORMATS)
    assert found["rows"][one_piece][2] == 1
