"""A decoder pool of one process or more that runs the hostile reader."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN
from service.deadline import Deadline
from service.decoding.decode import DecodeRequest
from service.decoding.pool import DecoderPool
from service.observability.observer import NullObserver
from service.settings import DecodingSettings

DECODER = "tests.builders.service.decoding.hostile_reader:read"
SPEC = PreprocessSpec(size_px=64)


class LossLog(NullObserver):
    """Observer that remembers why decoders were lost."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def decoder_lost(self, reason: str) -> None:
        self.reasons.append(reason)


@contextmanager
def hostile(
    workers: int = 1, patience_s: float = 0.0, **settings: Any
) -> Iterator[tuple[DecoderPool, LossLog]]:
    """Run decoder processes with the hostile reader."""
    losses = LossLog()
    options = DecodingSettings(workers=workers, **settings)
    decoders = DecoderPool(options, losses, decoder=DECODER, patience_s=patience_s)
    decoders.start()
    try:
        yield decoders, losses
    finally:
        decoders.close()


def request_for(data: bytes) -> DecodeRequest:
    return DecodeRequest(data, UNKNOWN, SPEC)


def ask(decoders: DecoderPool, data: bytes, seconds: float = 60) -> tuple[int, int, str]:
    """Return the process that decoded, its number of calls, and the SHA-256 of what it read."""
    facts = decoders.submit(request_for(data), Deadline(seconds)).result(60).image
    assert facts.sop_instance_uid is not None
    return int(facts.sop_instance_uid), facts.columns, facts.photometric_interpretation
