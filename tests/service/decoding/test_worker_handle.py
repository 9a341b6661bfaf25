"""A worker that is killed, or that lies about its result, is replaced and leaves nothing behind."""

import hashlib
import logging
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from radiograph.errors import MalformedInput
from service.decoding.decode import ImageFacts
from service.decoding.messages import ImageMessage
from service.settings import MIB
from tests.builders.service.decoding.hostile_pool import ask, hostile

VALID = ImageMessage(
    facts=ImageFacts(1, 1), preview_shape=None, displayed=None, timings_ms={}
).encode()


FORGED = {
    "not JSON": b"send no JSON",
    "cut short": b"send " + VALID[:-1],
    "not a number": b"send " + VALID.replace(b'"rows":1', b'"rows":NaN'),
    "too large": b"send " + VALID.replace(b'"rows":1', b'"rows":1000000000'),
    "not a class": b'send {"kind":"failure","error":"Doe^Jane","where":[]}',
    "no tensor": b"truncate " + VALID,
}


def test_a_worker_that_sends_an_invalid_message_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with hostile() as (decoders, losses), caplog.at_level(logging.DEBUG):
        for name, data in FORGED.items():
            first = ask(decoders, b"hello")
            with pytest.raises(MalformedInput, match="decoder processes stopped"):
                ask(decoders, data)
            assert ask(decoders, b"hello")[0] != first[0], name
    assert losses.reasons == ["crash"] * 2 * len(FORGED)
    assert caplog.text.count("invalid message") == 2 * len(FORGED)
    assert "Jane" not in caplog.text


def test_a_killed_worker_leaves_neither_files_nor_shared_memory(tmp_path: Path) -> None:
    with hostile() as (decoders, losses):
        ask(decoders, b"hello")
        before = open_files(), shared_memory()
        ask(decoders, b"killed " + str(tmp_path / "mark").encode())
        ask(decoders, b"hello")
        assert (open_files(), shared_memory()) == before
    assert losses.reasons == ["crash"]


def test_a_worker_that_died_idle_costs_no_file_an_error() -> None:
    with hostile() as (decoders, losses):
        process = ask(decoders, b"hello")[0]
        os.kill(process, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 60)
        assert ask(decoders, b"hello")[0] != process
    assert losses.reasons == ["crash"]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1_000_003, 40 * MIB])
def test_a_file_of_any_size_arrives_whole(size: int) -> None:
    body = np.random.default_rng(size).bytes(size)
    with hostile() as (decoders, _):
        for data in (body, b"small", body):
            assert ask(decoders, data)[2] == hashlib.sha256(data).hexdigest()


def test_the_memory_file_is_shrunk_after_a_huge_file() -> None:
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
