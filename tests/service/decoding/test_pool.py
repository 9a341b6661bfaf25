"""Decoder processes read as this process would, and a file that kills one costs only itself."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from radiograph.errors import InputError, MalformedInput, WrongModality
from radiograph.limits import Limits
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import JPEG, PNG, UNKNOWN
from service.deadline import Deadline
from service.decoding.decode import DecodeRequest, decode
from service.decoding.messages import input_error
from service.decoding.pool import DecoderOptions, DecoderPool
from service.errors import ClientGone, DeadlineExceeded, DecoderFailure
from service.observability.observer import NullObserver
from service.settings import Settings
from tests.builders.files import sample_files

READER = "tests.builders.service.hostile_reader:read"
SPEC = PreprocessSpec(size_px=64)
PIXELS = (np.arange(160 * 120, dtype=np.uint32) % 4096).astype(np.uint16).reshape(160, 120)
MIB = 2**20


class Lost(NullObserver):
    """Remembers why decoders were lost."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def decoder_lost(self, reason: str) -> None:
        self.reasons.append(reason)


@contextmanager
def hostile(**options: object) -> Iterator[tuple[DecoderPool, Lost]]:
    """One decoder process that runs the hostile reader."""
    given = {"workers": 1, "patience_s": 0.0, "reader": READER, **options}
    lost = Lost()
    decoders = DecoderPool(DecoderOptions(**given), lost)  # type: ignore[arg-type] # by name
    decoders.start()
    try:
        yield decoders, lost
    finally:
        decoders.close()


def order(data: bytes) -> DecodeRequest:
    return DecodeRequest(data, UNKNOWN, SPEC)


def ask(decoders: DecoderPool, data: bytes, seconds: float = 60) -> tuple[int, int, str]:
    """(process, number of the call in it, SHA-256 of what it read)."""
    facts = decoders.submit(order(data), Deadline(seconds)).result(60).image
    return facts.rows, facts.columns, facts.photometric_interpretation


FILES = {
    "DICOM": (sample_files.dicom_file(PIXELS), UNKNOWN),
    "MONOCHROME1": (sample_files.dicom_file(PIXELS, "MONOCHROME1"), UNKNOWN),
    "DICOM with warnings": (
        sample_files.dicom_file(PIXELS, ViewPosition="LL", PixelSpacing=[0, 0]),
        UNKNOWN,
    ),
    "DICOM of nothing known": (
        sample_files.dicom_file(PIXELS, PixelSpacing=None, ViewPosition=""),
        UNKNOWN,
    ),
    "PNG": (sample_files.png_file(PIXELS), PNG),
    "JPEG": (sample_files.jpeg_file(PIXELS), JPEG),
    "one pixel": (sample_files.dicom_file(PIXELS[:1, :1]), UNKNOWN),
}
FAULTS = {
    "nothing": b"",
    "PDF": b"%PDF-1.7",
    "colour": sample_files.colour_png_file(),
    "CT": sample_files.dicom_file(PIXELS, Modality="CT"),
    "frames": sample_files.dicom_file(PIXELS, NumberOfFrames=3),
    "too large": sample_files.dicom_file(np.zeros((300, 300), np.uint16)),
    "cut short": sample_files.png_file(PIXELS)[:200],
}


@pytest.mark.parametrize("preview_px", [None, 50, 500])
@pytest.mark.parametrize(("data", "media_type"), FILES.values(), ids=FILES)
def test_a_process_reads_what_this_one_reads(
    decoders: DecoderPool, data: bytes, media_type: str, preview_px: int | None
) -> None:
    asked = DecodeRequest(data, media_type, SPEC, Limits(), preview_px)
    there, here = decoders.submit(asked, Deadline(60)).result(60), decode(asked)
    assert (there.image, there.geometry) == (here.image, here.geometry)
    assert there.tensor.dtype == here.tensor.dtype
    assert np.array_equal(there.tensor, here.tensor)
    if preview_px is None:
        assert there.preview is here.preview is None
    else:
        assert there.preview is not None
        assert here.preview is not None
        assert np.array_equal(there.preview, here.preview)


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_an_error_travels_with_its_class_and_message(decoders: DecoderPool, data: bytes) -> None:
    asked = DecodeRequest(data, UNKNOWN, SPEC, Limits(max_pixels=50_000))
    with pytest.raises(InputError) as here:
        decode(asked)
    with pytest.raises(InputError) as there:
        decoders.submit(asked, Deadline(60)).result(60)
    assert (there.type, str(there.value)) == (here.type, str(here.value))


def test_without_processes_files_are_read_here() -> None:
    before = psutil.Process().children(recursive=True)
    decoders = DecoderPool(DecoderOptions(workers=0))
    decoders.start()
    asked = order(FILES["DICOM"][0])
    tensor = decoders.submit(asked, Deadline(60)).result(60).tensor
    assert np.array_equal(tensor, decode(asked).tensor)
    assert psutil.Process().children(recursive=True) == before
    decoders.close()


@pytest.mark.parametrize(
    ("data", "options", "reason", "message"),
    [
        (b"abort", {}, "crash", "stopped its decoder"),
        (b"exit", {}, "crash", "stopped its decoder"),
        (b"loop", {"timeout_s": 0.2}, "timeout", "longer than is allowed"),
        (b"allocate", {"memory_bytes": 64 * MIB}, "memory", "more memory than is allowed"),
    ],
)
def test_a_file_that_ruins_its_decoder_is_at_fault_and_alone(
    data: bytes, options: dict[str, object], reason: str, message: str
) -> None:
    with hostile(**options) as (decoders, lost):
        before = ask(decoders, b"hello")
        with pytest.raises(MalformedInput, match=message):
            ask(decoders, data)
        after = ask(decoders, b"hello")
    assert lost.reasons == [reason]
    assert (before[0] != after[0], before[2] == after[2]) == (True, True)


def test_files_beside_one_that_crashes_are_read() -> None:
    with hostile(workers=2) as (decoders, lost):
        names = [b"abort" if number % 5 == 0 else b"file %d" % number for number in range(40)]
        futures = [decoders.submit(order(name), Deadline(60)) for name in names]
        outcomes = [future.exception(60) for future in futures]
    assert [isinstance(error, MalformedInput) for error in outcomes] == [
        name == b"abort" for name in names
    ]
    assert lost.reasons == ["crash"] * 8


def test_the_deadline_of_the_request_is_told_apart_from_the_limit_on_decoding() -> None:
    with hostile() as (decoders, lost):
        first = ask(decoders, b"hello")
        with pytest.raises(DeadlineExceeded):
            ask(decoders, b"loop", seconds=0.1)
        assert ask(decoders, b"hello")[0] != first[0]
    assert lost.reasons == []


def test_a_file_that_hangs_for_a_client_that_left_is_given_up() -> None:
    with hostile() as (decoders, _):
        deadline = Deadline(60)
        future = decoders.submit(order(b"loop"), deadline)
        deadline.abandon()
        assert isinstance(future.exception(60), ClientGone)
        assert ask(decoders, b"hello")[1] == 1


def test_what_was_cancelled_or_is_too_late_never_reaches_a_worker(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with hostile(patience_s=60.0) as (decoders, _):
        running = decoders.submit(order(b"wait " + str(fifo).encode()), Deadline(60))
        cancelled = decoders.submit(order(b"a"), Deadline(60))
        left, late = Deadline(60), decoders.submit(order(b"b"), Deadline(0))
        gone = decoders.submit(order(b"c"), left)
        left.abandon()
        assert cancelled.cancel()
        fifo.write_bytes(b"")
        assert running.result(60).image.columns == 1
        assert ask(decoders, b"d")[1] == 2
        assert isinstance(late.exception(), DeadlineExceeded)
        assert isinstance(gone.exception(), ClientGone)


def test_a_worker_killed_over_a_file_leaves_nothing_behind(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with hostile() as (decoders, lost):
        process, _, _ = ask(decoders, b"hello")
        before = open_files(), shared_memory()
        running = decoders.submit(order(b"wait " + str(fifo).encode()), Deadline(60))
        with fifo.open("wb"):  # open once the worker reads it
            os.kill(process, signal.SIGKILL)
            assert isinstance(running.exception(60), MalformedInput)
        ask(decoders, b"hello")
        assert (open_files(), shared_memory()) == before
    assert lost.reasons == ["crash"]


def test_a_worker_that_died_idle_costs_no_file_an_error() -> None:
    with hostile() as (decoders, lost):
        process = ask(decoders, b"hello")[0]
        os.kill(process, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 60)
        assert ask(decoders, b"hello")[0] != process
    assert lost.reasons == ["crash"]


def test_the_nursery_is_started_again_when_it_is_gone() -> None:
    with hostile() as (decoders, _):
        worker = psutil.Process(ask(decoders, b"hello")[0])
        nursery = worker.parent()
        assert nursery is not None
        nursery.kill()
        gone, _ = psutil.wait_procs([worker], 60)  # dies with it
        assert gone == [worker]
        assert ask(decoders, b"hello")[0] != worker.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_meant_for_the_service_ends_no_decoder(number: signal.Signals) -> None:
    with hostile() as (decoders, lost):
        process = ask(decoders, b"hello")[0]
        nursery = psutil.Process(process).parent()
        assert nursery is not None
        os.kill(process, number)
        os.kill(nursery.pid, number)
        assert ask(decoders, b"hello")[:2] == (process, 2)
    assert lost.reasons == []


def test_decoders_end_with_a_service_that_is_killed() -> None:
    program = (
        "import sys; from service.decoding.pool import *; from service.decoding.decode import *\n"
        "from service.deadline import Deadline; from radiograph.preprocess import PreprocessSpec\n"
        "d = Decoders(DecoderOptions(1, reader=sys.argv[1]))\n"
        "f = d.submit(Order(b'hello', UNKNOWN, PreprocessSpec()), Deadline(60)).result()\n"
        "d.submit(Order(b'loop', UNKNOWN, PreprocessSpec()), Deadline(60))\n"
        "print(f.image.rows, flush=True); sys.stdin.read()\n"
    )
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", program, READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    ) as service:
        assert service.stdout is not None
        worker = psutil.Process(int(service.stdout.readline()))
        nursery = worker.parent()
        assert nursery is not None
        service.kill()
        _, alive = psutil.wait_procs([worker, nursery], 60)
    assert alive == []


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1_000_003, 40 * MIB])
def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    body = np.random.default_rng(size).bytes(size)
    with hostile() as (decoders, _):
        for data in (body, b"small", body):
            assert ask(decoders, data)[2] == hashlib.sha256(data).hexdigest()


def test_the_memory_file_of_a_huge_body_is_cut_down_again() -> None:
    def largest() -> int:
        return max(os.stat(f"/proc/self/fd/{file}").st_size for file in memory_files())  # noqa: PTH116

    with hostile() as (decoders, _):
        ask(decoders, b"x" * 40 * MIB)
        assert largest() <= 32 * MIB


def shared_memory() -> list[str]:
    return sorted(path.name for path in Path("/dev/shm").iterdir())  # noqa: S108


def open_files() -> int:
    return psutil.Process().num_fds()


def memory_files() -> list[str]:
    names = os.listdir("/proc/self/fd")  # noqa: PTH208
    links = {name: _target(name) for name in names}
    return [name for name, target in links.items() if "memfd:g2d-decoder" in target]


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    except FileNotFoundError:
        return ""


def test_decoders_give_way_to_the_rest_of_the_service() -> None:
    with hostile() as (decoders, _):
        worker = psutil.Process(ask(decoders, b"hello")[0])
        assert worker.nice() > psutil.Process().nice()


def test_an_unexpected_error_in_a_decoder_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with hostile() as (decoders, lost), caplog.at_level(logging.DEBUG):
        with pytest.raises(DecoderFailure, match="ValueError") as caught:
            ask(decoders, b"raise")
        with pytest.raises(WrongModality, match="not this one"):
            ask(decoders, b"refuse")
        ask(decoders, b"print")
        assert ask(decoders, b"hello")[1] == 4
    assert lost.reasons == []
    records = [record.getMessage() + str(vars(record)) for record in caplog.records]
    assert any("hostile_reader.py" in record for record in records)
    assert "Jane" not in str(caught.value) + "".join(records) + "".join(capfd.readouterr())


def test_a_worker_that_was_taken_over_cannot_choose_another_kind_of_error() -> None:
    for name in ("SystemExit", "ModelNotFound", "__doc__", "RadiographError", ""):
        assert type(input_error(name, "x")) is MalformedInput


def test_no_thread_outlives_the_decoders() -> None:
    before = threading.enumerate()
    with hostile(workers=3) as (decoders, _):
        ask(decoders, b"hello")
    assert threading.enumerate() == before


def test_a_system_without_memory_files_reads_in_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().decoding.workers >= 1
    monkeypatch.delattr(os, "memfd_create")
    assert Settings().decoding.workers == 0
