"""Building a cache: in parallel, after a kill, and with broken files."""

import csv
import os
import pickle
import signal
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from tests.builders.datasets import tiny_sets
from tests.builders.datasets.tiny_sets import write, write_pairs
from tests.builders.files.sample_files import bright_rectangle, dicom_file
from tests.builders.training.runs.tiny_runs import SIZE_PX, picture
from tests.builders.training.sets.cached_pixels import pixels
from training.config.run import DataConfig
from training.data.cache import build, worker_pool
from training.data.cache.cache import Cache, open_cache
from training.data.cache.chunks import Chunk, render_chunk
from training.data.rows.dataset_files import DataError

SPEC = PreprocessSpec(size_px=SIZE_PX)
LINE = {"text": "The lungs are clear.", "split": "train", "patient": "p"}


def _pairs(root: Path, count: int, written: int | None = None) -> DataConfig:
    lines = [LINE | {"image": f"{i}.png"} for i in range(count)]
    return write_pairs(root, lines, count if written is None else written)


def _open(config: DataConfig, tmp_path: Path, workers: int = 0) -> Cache:
    return open_cache(config, SPEC, tmp_path / "cache", workers=workers)


def _manifest(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {line["image"]: line["reason"] for line in csv.DictReader(file)}


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_CHUNK_BYTES", 0)  # 8 rows each


def _bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in some bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    made = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


@pytest.mark.usefixtures("_small_chunks")
def test_two_processes_write_the_bytes_that_one_writes(tmp_path: Path) -> None:
    config = _pairs(tmp_path / "data", 20, written=19)
    alone = open_cache(config, SPEC, tmp_path / "alone")
    together = open_cache(config, SPEC, tmp_path / "together", workers=2)
    for name in ("images.npy", "rows.jsonl", "rows_end.npy", "left_out.csv"):
        assert (alone.folder / name).read_bytes() == (together.folder / name).read_bytes()
    assert len(alone.samples) == 19
    assert not (alone.folder / "masks.npy").exists()
    assert not alone.masks[3].any()


def test_each_broken_file_is_left_out_by_name_and_reason(tmp_path: Path) -> None:
    root = tmp_path / "data"
    broken = {
        "truncated.jpg": tiny_sets.jpeg(1)[:400],
        "truncated.dcm": dicom_file(bright_rectangle(64, 64, (8, 8, 40, 40)))[:-3000],
        "lateral.dcm": dicom_file(bright_rectangle(9, 9, (1, 1, 3, 3)), ViewPosition="LL"),
        "bomb.png": _bomb(),
        "empty.png": b"",
        "text.png": b"not an image",
    }
    for name, data in broken.items():
        write(root / name, data)
    (root / "folder.png").mkdir()
    outside = ("../../etc/passwd", "/etc/passwd")
    names = (*broken, "folder.png", "missing.png", *outside, "0.png", "0.png")
    lines = [LINE | {"image": name} for name in names]
    lines += [LINE | {"image": "1.png", "text": "___"}, LINE | {"image": "2.png", "text": "Same."}]
    cached = _open(write_pairs(root, lines, images=3), tmp_path)
    assert [sample.row.image for sample in cached.samples] == ["0.png"]
    assert _manifest(cached.manifest) == {
        "truncated.jpg": "unreadable (UndecodablePixels)",
        "truncated.dcm": "unreadable (UndecodablePixels)",
        "lateral.dcm": "lateral view",
        "bomb.png": "unreadable (InputTooLarge)",
        "empty.png": "unreadable (EmptyInput)",
        "text.png": "unreadable (UnsupportedEncoding)",
        "folder.png": "unreadable (IsADirectoryError)",
        "missing.png": "missing file",
        "../../etc/passwd": "the path leads out of the data set",
        "/etc/passwd": "the path leads out of the data set",
        "0.png": "listed twice",
        "1.png": "empty report",
        "2.png": "report shorter than 3 words",
    }
    assert sum(cached.left_out.values()) == len(lines) - 1


def test_a_selection_without_any_row_states_the_reasons(tmp_path: Path) -> None:
    config = _pairs(tmp_path / "data", 2, written=0)
    with pytest.raises(DataError, match=r"'missing file': 2.*left_out.csv"):
        _open(config, tmp_path)
    write(tmp_path / "data" / "1.png", picture(1))  # and what came since is taken up
    assert len(_open(config, tmp_path).samples) == 1


@pytest.mark.usefixtures("_small_chunks")
def test_an_interrupted_build_renders_no_chunk_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, done = _pairs(tmp_path / "data", 20), list[int]()

    def stop_after_one(chunk: Chunk) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(chunk.number)
        render_chunk(chunk)

    with monkeypatch.context() as patched:
        patched.setattr(worker_pool, "render_chunk", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            _open(config, tmp_path)
    again = list[str]()
    resumed = _rendering_noted(config, tmp_path, again)
    assert (done, again) == ([0], ["000001.json", "000002.json"])
    assert np.array_equal(pixels(resumed), pixels(open_cache(config, SPEC, tmp_path / "other")))


@pytest.mark.usefixtures("_small_chunks")
def test_a_build_stopped_during_assembly_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _pairs(tmp_path / "data", 20)
    unlink, removed = Path.unlink, list[str]()

    def stop_at_second(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".images.npy") and path.exists():
            removed.append(path.name)
            if len(removed) == 2:
                raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            _open(config, tmp_path)
    monkeypatch.setattr(worker_pool, "render_chunk", lambda _: pytest.fail("rendered again"))
    resumed = _open(config, tmp_path)
    monkeypatch.undo()
    assert np.array_equal(pixels(resumed), pixels(open_cache(config, SPEC, tmp_path / "other")))
    assert sorted(path.name for path in resumed.folder.iterdir()) == [
        *("images.npy", "left_out.csv", "rows.json", "rows.jsonl", "rows_end.npy")
    ]


_KILLED = """
import sys
from pathlib import Path
if __name__ == "__main__":
    from radiograph.preprocess import PreprocessSpec
    from training.config.run import DataConfig
    from training.data.cache import build
    from training.data.cache.cache import open_cache
    build._CHUNK_BYTES = 0
    root = Path(sys.argv[1])
    config = DataConfig(root=root / "data", tables=("pairs",), licences=("noncommercial",))
    open_cache(config, PreprocessSpec(size_px=64), root / "cache", workers=1)
"""


@pytest.mark.usefixtures("_small_chunks")
def test_a_build_ended_by_sigkill_is_resumed(tmp_path: Path) -> None:
    _pairs(tmp_path / "data", 200)
    config = DataConfig(root=tmp_path / "data", tables=("pairs",), licences=("noncommercial",))
    write(tmp_path / "killed.py", _KILLED.encode())
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py"), str(tmp_path)],
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not list(tmp_path.glob("cache/.*/chunks/000001.json")):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.send_signal(signal.SIGKILL)
    left = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("cache/.*/chunks/*.json")}
    assert "000001.json" in left
    again = list[str]()
    cached = _rendering_noted(config, tmp_path, again)
    assert len(cached.samples) == 200
    assert not {"000000.json", "000001.json"} & set(again)


def _rendering_noted(config: DataConfig, tmp_path: Path, names: list[str]) -> Cache:
    def noted(chunk: Chunk) -> None:
        names.append(chunk.path("json").name)
        render_chunk(chunk)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "render_chunk", noted)
        return _open(config, tmp_path)


def test_a_pickled_cache_opens_the_files_and_copies_none(tmp_path: Path) -> None:
    cached = _open(_pairs(tmp_path / "data", 9), tmp_path)
    sent = pickle.dumps(cached)
    assert len(sent) < 1000
    received = pickle.loads(sent)  # noqa: S301 - made one line above
    assert np.array_equal(pixels(received), pixels(cached))
    assert received.samples[-1] == cached.samples[8]
    assert received.samples[2:4] == [cached.samples[2], cached.samples[3]]


def test_again_includes_files_that_were_added_later(tmp_path: Path) -> None:
    config = _pairs(tmp_path / "data", 3, written=2)
    assert _open(config, tmp_path).left_out == {"missing file": 1}
    write(tmp_path / "data" / "2.png", picture(2))
    assert len(_open(config, tmp_path).samples) == 2
    again = open_cache(config, SPEC, tmp_path / "cache", again=True)
    assert (len(again.samples), again.left_out) == (3, {})


def _yaml(tmp_path: Path, tables: list[str]) -> str:
    path = tmp_path / "run.yaml"
    data = {"root": str(tmp_path / "data"), "tables": tables, "licences": ["noncommercial"]}
    run = {"kind": "pretrain", "epochs": 1, "batch_size": 2, "data": data}
    path.write_text(yaml.safe_dump(run | {"preprocess": {"size_px": SIZE_PX}}))
    return str(path)


def test_the_command_counts_splits_and_reasons_and_names_the_manifest(tmp_path: Path) -> None:
    _pairs(tmp_path / "data", 3, written=2)
    arguments = [_yaml(tmp_path, ["pairs"]), "--cache", str(tmp_path / "cache"), "--workers", "0"]
    result = CliRunner().invoke(app, ["prepare", *arguments])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "train: 2 radiographs, 2 with a report"
    assert lines[3] == "left out, missing file: 1"
    assert _manifest(Path(lines[-1].partition(": ")[2])) == {"2.png": "missing file"}


def test_the_command_names_missing_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = CliRunner().invoke(app, ["prepare", _yaml(tmp_path, ["mimic_cxr_jpg"])])
    assert result.exit_code == 3
    assert "no mimic-cxr-2.0.0-metadata.csv" in result.stderr
    assert "physionet.org/content/mimic-cxr-jpg" in result.stderr
