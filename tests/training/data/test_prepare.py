"""`g2d prepare NAME` of a data set: what is missing, what is counted, what is cached."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from tests.builders.datasets import tiny_sets
from tests.builders.datasets.tiny_downstream import write_rsna, write_siim
from training.config.run import DataConfig
from training.data import prepare
from training.data.cache.cache import open_cache
from training.data.catalog import READERS, title_of

SPEC = PreprocessSpec(size_px=64)


def _prepare(tmp_path: Path, *arguments: str) -> Result:
    folders = ["--cache", str(tmp_path / "cache"), "--workers", "0"]
    return CliRunner().invoke(app, ["prepare", *arguments, *folders])


def _rsna(tmp_path: Path) -> None:
    write_rsna(tmp_path / "data/rsna", {f"{i}": [(1, 2, 3, 4)] if i < 3 else [] for i in range(10)})
    (tmp_path / "data/rsna/stage_2_train_images/9.dcm").unlink()


def test_a_data_set_is_compared_with_the_paper_and_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rsna(tmp_path)
    monkeypatch.setitem(prepare.PUBLISHED, "rsna", (6, 2, 3))
    result = _prepare(tmp_path, "rsna", "--data", str(tmp_path / "data"), "--size", "64")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "rsna, protocol sound, train: 6 listed, 6 in the paper: equal",
        "rsna, protocol sound, valid: 2 listed, 2 in the paper: equal",
        "rsna, protocol sound, test: 2 listed, 3 in the paper: differs",
    ]
    assert "left out, missing file: 1" in lines
    folder = Path(next(line for line in lines if line.startswith("cache: ")).split(": ")[1])
    config = DataConfig(
        root=tmp_path / "data", tables=("rsna",), licences=("noncommercial", "open")
    )
    assert open_cache(config, SPEC, tmp_path / "cache").folder == folder


def test_all_missing_files_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_images").mkdir()
    result = _prepare(tmp_path, "rsna", "--data", str(tmp_path))
    assert result.exit_code == 3
    assert "stage_2_train_labels.csv; stage_2_detailed_class_info.csv. It comes" in result.stderr
    assert "stage_2_train_images" not in result.stderr
    assert "kaggle.com/c/rsna-pneumonia-detection-challenge" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["rsna"], "say where rsna is: g2d prepare rsna --data FOLDER", 2),
        (["nothing"], "no configuration nothing; shipped are: ablation", 2),
        (["nothing", "--data", "."], "no data set is known by that name", 3),
        (["rsna", "--data", ".", "--size", "100"], "multiple of 32", 2),
        (["rsna", "--data", ".", "--protocol", "other"], "'other' is not one of", 2),
    ],
)
def test_a_data_set_that_cannot_be_prepared_gives_the_reason(
    arguments: list[str], told: str, code: int, tmp_path: Path
) -> None:
    result = _prepare(tmp_path, *arguments)
    assert result.exit_code == code
    assert told in " ".join(result.stderr.split())


def test_the_published_protocol_reaches_the_rows_and_has_a_cache_of_its_own(
    tmp_path: Path,
) -> None:
    codes = [(f"i{i}", f"{1024 * k + 10} 5") for i in range(10) for k in range(2)]
    write_siim(tmp_path / "data/siim", codes)
    listed = {}
    for protocol in ("sound", "mgca"):
        given = ("siim", "--data", str(tmp_path / "data"), "--size", "64", "--protocol", protocol)
        result = _prepare(tmp_path, *given)
        assert result.exit_code == 0, result.output
        lines = [line.split(" ")[-2:] for line in result.stdout.splitlines()[:3]]
        assert len(lines) == 3
        cached = tiny_sets.config(tmp_path / "data", "siim")
        chosen = cached.model_copy(update={"protocol": protocol})
        listed[protocol] = open_cache(chosen, SPEC, tmp_path / "cache")
    assert listed["sound"].folder != listed["mgca"].folder
    assert len(listed["sound"].samples) == 10
    assert len(listed["mgca"].samples) > 10  # some are there for two splits


def test_every_data_set_with_published_counts_has_a_name_and_a_reader() -> None:
    assert set(prepare.PUBLISHED) <= set(READERS)
    for name in READERS.keys() - {"pairs"}:
        assert title_of(DataConfig(root=Path("nowhere"), tables=(name,)), name) != name
