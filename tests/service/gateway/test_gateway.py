"""The whole gateway in one process: a radiograph comes in, its results reach the archive, once."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import AuditUnavailable
from service.gateway.configuration import Configuration
from service.gateway.errors import GatewayUnavailable
from service.gateway.gateway import Gateway
from service.observability.logs import JsonFormatter
from service.settings import AuditSettings
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive, archive
from tests.builders.gateway.fake_service import FakeService, fake_service
from tests.builders.gateway.ports import free_port
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.results import CLASSES, result_uid
from tests.builders.gateway.running import send

KINDS = ("seg", "sr")


def expected(*numbers: int) -> dict[str, int]:
    """Return the results of radiographs, each stored once."""
    return {result_uid(f"{ROOT}.1.{number}", kind): 1 for number in numbers for kind in KINDS}


def test_the_results_of_a_radiograph_reach_the_archive(
    configured: Configuration, gateway: Gateway, pacs: Archive, service: FakeService
) -> None:
    assert send(configured.listen.port, radiograph()) == [0x0000]
    pacs.wait_for(2)
    assert pacs.classes == {result_uid(f"{ROOT}.1.1", kind): str(CLASSES[kind]) for kind in KINDS}
    assert service.queries == [
        {"tasks": "classify,segment,detect", "objects": "seg,sr", "segmentation": "binary"}
    ]


def test_an_instance_that_comes_again_is_not_done_again(
    configured: Configuration, gateway: Gateway, pacs: Archive, service: FakeService
) -> None:
    assert send(configured.listen.port, radiograph(), radiograph()) == [0x0000, 0x0000]
    pacs.wait_for(2)
    assert send(configured.listen.port, radiograph(), radiograph(2)) == [0x0000, 0x0000]
    pacs.wait_for(4)
    assert pacs.stored == expected(1, 2)
    assert set(service.requests.values()) == {1}


def test_other_content_under_one_uid_is_analysed_too(
    configured: Configuration, gateway: Gateway, pacs: Archive, service: FakeService
) -> None:
    first, corrected = radiograph(), radiograph(AccessionNumber="7", InstanceNumber=2)
    assert send(configured.listen.port, first, corrected) == [0x0000, 0x0000]
    wait_until_idle(gateway)
    assert service.requests == {f"{ROOT}.1.1": 2}


def test_a_result_with_a_known_uid_and_other_content_is_a_dead_letter(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    # The fake service derives UIDs from that of the radiograph alone, unlike the real one.
    send(configured.listen.port, radiograph())
    pacs.wait_for(2)
    send(configured.listen.port, radiograph(PatientID="OTHER"))
    wait_until_idle(gateway)
    letters = gateway.journal.dead_letters()
    assert [(letter.place, letter.reason) for letter in letters] == [("service", "uid_conflict")]
    assert (configured.folder / "dead-letter/service" / f"{letters[0].number}.dcm").is_file()


def test_a_service_that_is_away_loses_nothing(tmp_path: Path, pacs: Archive) -> None:
    port = free_port()
    configured = running.configuration(tmp_path, f"http://127.0.0.1:{port}", pacs.port)
    with running.running(configured) as gateway:
        assert send(configured.listen.port, radiograph(1), radiograph(2)) == [0x0000, 0x0000]
        assert gateway.journal.counts().instances == {"queued": 2}
        with fake_service(port):
            pacs.wait_for(4)
    assert pacs.stored == expected(1, 2)


def test_an_archive_that_is_away_loses_nothing(tmp_path: Path, service: FakeService) -> None:
    port = free_port()
    patient = running.QUICK | {"attempts": 1000}
    configured = running.configuration(tmp_path, service.url, port, {"retry": patient})
    with running.running(configured):
        assert send(configured.listen.port, radiograph()) == [0x0000]
        with archive(port) as pacs:
            pacs.wait_for(2)
    assert pacs.stored == expected(1)


def test_a_restart_continues_where_the_gateway_was(
    configured: Configuration, pacs: Archive, service: FakeService
) -> None:
    service.problems = [503]
    with running.running(configured):
        assert send(configured.listen.port, radiograph()) == [0x0000]
    with running.running(configured):
        pacs.wait_for(2)
        assert send(configured.listen.port, radiograph()) == [0x0000]
    assert pacs.stored == expected(1)
    assert service.requests == {f"{ROOT}.1.1": 1}


def test_a_radiograph_at_which_the_service_fails_is_tried_a_few_times(
    configured: Configuration, gateway: Gateway, service: FakeService
) -> None:
    service.problems = [500, 500]
    send(configured.listen.port, radiograph())
    wait_until_idle(gateway)
    (letter,) = gateway.journal.dead_letters()
    assert (letter.place, letter.reason, len(service.queries)) == ("service", "model-not-found", 2)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_radiograph_that_the_service_refuses_is_not_tried_again(
    configured: Configuration, gateway: Gateway, service: FakeService, status: int
) -> None:
    service.problems = [status]
    send(configured.listen.port, radiograph())
    wait_until_idle(gateway)
    assert [letter.place for letter in gateway.journal.dead_letters()] == ["service"]
    assert len(service.queries) == 1


def test_a_warning_of_the_service_suppresses_results(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    service.warnings = "window_center, orientation_pixels"
    configured = running.configuration(tmp_path, service.url, pacs.port, suppress=["orientation_*"])
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        wait_until_idle(gateway)
        assert gateway.journal.counts().instances == {"suppressed": 1}
    assert not pacs.stored


def test_files_that_somebody_removed_are_dead_letters_and_stop_nothing(
    configured: Configuration, pacs: Archive, service: FakeService
) -> None:
    service.problems = [503]
    with running.running(configured):
        send(configured.listen.port, radiograph())
    for file in (configured.folder / "inputs").iterdir():
        file.unlink()
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph(2))
        pacs.wait_for(2)
        wait_until_idle(gateway)
        assert [letter.reason for letter in gateway.journal.dead_letters()] == ["file_missing"]
    assert pacs.stored == expected(2)


def test_two_gateways_cannot_use_one_folder(configured: Configuration, gateway: Gateway) -> None:
    with pytest.raises(GatewayUnavailable, match="another gateway"), Gateway(configured).running():
        pass


def test_files_are_removed_once_they_are_delivered(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    send(configured.listen.port, radiograph())
    pacs.wait_for(2)
    wait_until_idle(gateway)
    gateway.tidy(now=2e9)
    assert list((configured.folder / "inputs").iterdir()) == []
    assert list((configured.folder / "results").iterdir()) == []


def test_nobody_else_can_read_what_the_gateway_keeps(
    configured: Configuration, gateway: Gateway, service: FakeService
) -> None:
    service.problems = [422]
    send(configured.listen.port, radiograph())
    wait_until_idle(gateway)
    kept = [path for path in configured.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".dcm" for path in kept)
    assert {path.stat().st_mode & 0o077 for path in (configured.folder, *kept)} == {0}


def test_the_journal_knows_no_patient(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    send(configured.listen.port, radiograph(PatientName="Quisquilia^Xanthippe"))
    pacs.wait_for(2)
    with closing(sqlite3.connect(configured.folder / "journal.sqlite")) as connection:
        assert "Quisquilia" not in "".join(connection.iterdump())


def test_logs_and_metrics_name_no_patient_and_no_instance(
    configured: Configuration,
    gateway: Gateway,
    pacs: Archive,
    service: FakeService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    service.problems = [422]
    pacs.statuses = [0xA900]
    named = {"PatientName": "Quisquilia^Xanthippe", "PatientID": "PID90210ZQ"}
    for number, changes in enumerate(({}, {}, {"Modality": "MG"})):
        send(configured.listen.port, radiograph(number, **named, **changes), calling="CALLER9")
        wait_until_idle(gateway)
    text = "".join(JsonFormatter().format(record) for record in caplog.records)
    text += gateway.metrics.render()[0].decode()
    assert "analysed" in text
    for secret in ("Quisquilia", "PID90210ZQ", ROOT, result_uid(f"{ROOT}.1.1", "seg"), "CALLER9"):
        assert secret not in text


def test_what_comes_and_goes_is_audited(
    tmp_path: Path, configured: Configuration, pacs: Archive
) -> None:
    audit = AuditSettings(file=tmp_path / "audit.sqlite", writer="gateway")
    with running.running(configured, audit) as gateway:
        send(configured.listen.port, radiograph())
        send(configured.listen.port, radiograph(2, Modality="MG"))
        pacs.wait_for(2)
        wait_until_idle(gateway)
    with closing(sqlite3.connect(tmp_path / "audit.sqlite")) as connection:
        text = "".join(connection.iterdump())
        rows = connection.execute("select record from g2d_audit order by number").fetchall()
    entries = [json.loads(row[0]) for row in rows]
    found = [(entry["act"], entry["principal"], entry.get("problem")) for entry in entries]
    assert found.count(("instance-received", "ae:MODALITY", None)) == 1
    assert found.count(("instance-received", "ae:MODALITY", "modality")) == 1
    assert found.count(("result-sent", "peer:archive", None)) == 2
    assert ROOT not in text


def test_nothing_is_taken_while_the_audit_log_cannot_be_written(
    configured: Configuration, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        raise AuditUnavailable("the audit log cannot be written")

    monkeypatch.setattr(gateway.intake._transfers, "check", check)
    assert send(configured.listen.port, radiograph()) == [0xA700]


def wait_until_idle(gateway: Gateway, timeout_s: float = 20.0) -> None:
    """Wait until nothing is queued for the service or the peers."""
    running.wait_until(lambda: not running.is_busy(gateway), timeout_s)
