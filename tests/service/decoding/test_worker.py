"""A worker yields to the service, prints nothing, and reports unexpected errors without values."""

import logging

import psutil
import pytest

from radiograph.errors import WrongModality
from service.errors import DecoderFailure
from tests.builders.service.hostile_pool import ask, hostile


def test_a_worker_has_a_lower_priority_than_the_service() -> None:
    with hostile() as (decoders, _):
        worker = psutil.Process(ask(decoders, b"hello")[0])
        assert worker.nice() > psutil.Process().nice()


def test_an_unexpected_error_in_a_worker_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with hostile() as (decoders, losses), caplog.at_level(logging.DEBUG):
        with pytest.raises(DecoderFailure, match="ValueError") as caught:
            ask(decoders, b"raise")
        with pytest.raises(WrongModality, match="not this one"):
            ask(decoders, b"refuse")
        ask(decoders, b"print")
        assert ask(decoders, b"hello")[1] == 4
    assert losses.reasons == []
    records = [record.getMessage() + str(vars(record)) for record in caplog.records]
    assert any("hostile_reader.py" in record for record in records)
    assert "Jane" not in str(caught.value) + "".join(records) + "".join(capfd.readouterr())
