"""A worker yields to the service, prints nothing, and reports unexpected errors without values."""

import logging
import platform
from pathlib import Path

import psutil
import pytest

from radiograph.errors import WrongModality
from service.errors import DecoderFailure
from tests.builders.service.decoding.hostile_pool import ask, hostile


def test_a_worker_has_a_lower_priority_than_the_service() -> None:
    with hostile() as (decoders, _):
        worker = psutil.Process(ask(decoders, b"hello")[0])
        assert worker.nice() > psutil.Process().nice()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are those of glibc")
def test_a_worker_uses_the_pages_of_one_file_again_for_the_next() -> None:
    with hostile() as (decoders, _):
        for _ in range(5):
            worker = ask(decoders, b"work")[0]
        before = page_faults(worker)
        ask(decoders, b"work")
        assert page_faults(worker) - before < 500  # 9,700 if freed memory is returned


def page_faults(process: int) -> int:
    """Return the minor page faults of a process so far (proc_pid_stat(5), field 10)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


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
