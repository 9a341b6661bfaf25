"""Decoder processes live and end with the service."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.builders.service.decoding.hostile_pool import DECODER, ask, hostile

PROGRAM = """
import sys
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN
from service.deadline import Deadline
from service.decoding.decode import DecodeRequest
from service.decoding.pool import DecoderPool
from service.settings import DecodingSettings

pool = DecoderPool(DecodingSettings(workers=1), decoder=sys.argv[1])
hello, loop = (DecodeRequest(word, UNKNOWN, PreprocessSpec()) for word in (b"hello", b"loop"))
facts = pool.submit(hello, Deadline(60)).result().image
pool.submit(loop, Deadline(60))
print(facts.sop_instance_uid, flush=True)
sys.stdin.read()
"""


def test_the_fork_server_is_restarted_when_it_has_ended() -> None:
    with hostile() as (decoders, _):
        worker = psutil.Process(ask(decoders, b"hello")[0])
        fork_server = worker.parent()
        assert fork_server is not None
        fork_server.kill()
        gone, _ = psutil.wait_procs([worker], 60)  # ends with its fork server
        assert gone == [worker]
        assert ask(decoders, b"hello")[0] != worker.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_service_ends_no_decoder(number: signal.Signals) -> None:
    with hostile() as (decoders, losses):
        process = ask(decoders, b"hello")[0]
        fork_server = psutil.Process(process).parent()
        assert fork_server is not None
        os.kill(process, number)
        os.kill(fork_server.pid, number)
        assert ask(decoders, b"hello")[:2] == (process, 2)
    assert losses.reasons == []


def test_decoders_end_with_a_service_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, DECODER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as service:
        assert service.stdout is not None
        worker = psutil.Process(int(service.stdout.readline()))
        fork_server = worker.parent()
        assert fork_server is not None
        service.kill()
        _, alive = psutil.wait_procs([worker, fork_server], 60)
    assert alive == []
