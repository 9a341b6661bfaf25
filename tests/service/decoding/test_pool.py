"""A file that crashes, hangs or exhausts its decoder costs no other file an error."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from radiograph.errors import MalformedInput
from service.deadline import Deadline
from service.decoding.forkserver import ForkServer
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.settings import MIB
from tests.builders.service.decoding.hostile_pool import ask, hostile, request_for


@pytest.mark.parametrize(
    ("data", "settings", "reasons", "message"),
    [
        (b"abort", {}, ["crash"] * 2, "2 decoder processes stopped"),
        (b"exit", {}, ["crash"] * 2, "2 decoder processes stopped"),
        (b"loop", {"timeout_s": 0.2}, ["timeout"], "longer than allowed"),
        (b"allocate", {"memory_bytes": 64 * MIB}, ["memory"], "more memory than allowed"),
    ],
)
def test_a_file_that_ruins_its_decoder_is_refused_and_the_next_is_decoded(
    data: bytes, settings: dict[str, Any], reasons: list[str], message: str
) -> None:
    with hostile(**settings) as (decoders, losses):
        before = ask(decoders, b"hello")
        with pytest.raises(MalformedInput, match=message):
            ask(decoders, data)
        after = ask(decoders, b"hello")
    assert losses.reasons == reasons
    assert (before[0] != after[0], before[2] == after[2]) == (True, True)


def test_files_beside_one_that_crashes_are_decoded() -> None:
    with hostile(workers=2) as (decoders, losses):
        names = [b"abort" if number % 5 == 0 else b"file %d" % number for number in range(40)]
        futures = [decoders.submit(request_for(name), Deadline(60)) for name in names]
        outcomes = [future.exception(60) for future in futures]
    assert [isinstance(error, MalformedInput) for error in outcomes] == [
        name == b"abort" for name in names
    ]
    assert losses.reasons == ["crash"] * 16


def test_a_file_whose_decoder_is_killed_from_outside_is_decoded_by_another(tmp_path: Path) -> None:
    with hostile() as (decoders, losses):
        killed = ask(decoders, b"hello")[0]
        assert ask(decoders, b"killed " + str(tmp_path / "mark").encode())[0] != killed
    assert losses.reasons == ["crash"]


def test_a_service_that_cannot_start_decoders_is_overloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(ForkServer, "fork", refused)
    with hostile() as (decoders, _), pytest.raises(Overloaded, match="no decoder process"):
        ask(decoders, b"hello")


def test_a_client_with_one_file_does_not_wait_for_all_files_of_another() -> None:
    with hostile() as (decoders, _), decoders._jobs._changed:
        many = [decoders.submit(request_for(b"many"), Deadline(60), "a") for _ in range(9)]
        one = decoders.submit(request_for(b"one"), Deadline(60), "b")
    assert one.result(60).image.columns == 2  # the second file of this decoder
    assert many[-1].result(60).image.columns == 10


def test_the_deadline_of_the_request_is_told_apart_from_the_limit_on_decoding() -> None:
    with hostile() as (decoders, losses):
        first = ask(decoders, b"hello")
        with pytest.raises(DeadlineExceeded):
            ask(decoders, b"loop", seconds=0.1)
        assert ask(decoders, b"hello")[0] != first[0]
    assert losses.reasons == []


def test_a_file_that_hangs_is_abandoned_once_its_client_has_left() -> None:
    with hostile() as (decoders, _):
        deadline = Deadline(60)
        future = decoders.submit(request_for(b"loop"), deadline)
        deadline.abandon()
        assert isinstance(future.exception(60), ClientGone)
        assert ask(decoders, b"hello")[1] == 1


def test_cancelled_late_and_abandoned_files_never_reach_a_worker(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with hostile(patience_s=60.0) as (decoders, _):
        running = decoders.submit(request_for(b"wait " + str(fifo).encode()), Deadline(60))
        cancelled = decoders.submit(request_for(b"a"), Deadline(60))
        left, late = Deadline(60), decoders.submit(request_for(b"b"), Deadline(0))
        gone = decoders.submit(request_for(b"c"), left)
        left.abandon()
        assert cancelled.cancel()
        fifo.write_bytes(b"")
        assert running.result(60).image.columns == 1
        assert ask(decoders, b"d")[1] == 2
        assert isinstance(late.exception(), DeadlineExceeded)
        assert isinstance(gone.exception(), ClientGone)


def test_no_thread_outlives_the_pool() -> None:
    before = threading.enumerate()
    with hostile(workers=3) as (decoders, _):
        ask(decoders, b"hello")
    assert threading.enumerate() == before


def test_a_decoder_opens_only_as_many_files_as_it_may() -> None:
    with hostile(open_files=40) as (decoders, losses):
        _, opened, _ = ask(decoders, b"open")
    assert 20 < opened < 40
    assert losses.reasons == []
