"""Results by C-STORE: refusals, retries, dead letters, fallbacks, TLS, storage commitment."""

import gc
import ssl
from pathlib import Path

import pytest
from pydicom import uid

from service.gateway.backoff import delay_s
from service.gateway.configuration import Retry
from service.gateway.gateway import Gateway
from service.gateway.sending.fallback import comprehensive_uid
from service.gateway.storage.records import LABELMAP_SEGMENTATION
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive, archive, report
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.results import result_uid
from tests.builders.gateway.running import send
from tests.builders.service.http import certificates

SEG, SR = (result_uid(f"{ROOT}.1.1", kind) for kind in ("seg", "sr"))


def until_idle(gateway: Gateway) -> None:
    running.wait_until(lambda: not running.is_busy(gateway))


def test_an_archive_that_refuses_gets_a_few_associations_and_then_none(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    pacs.statuses = [0xA900] * 100
    configured = running.configuration(tmp_path, service.url, pacs.port, {"objects": ["seg"]})
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        until_idle(gateway)
        assert pacs.associations == 3
        (letter,) = gateway.journal.dead_letters()
        assert (letter.place, letter.reason, letter.attempts) == ("archive", "A900", 3)
        assert (tmp_path / "dead-letter/archive" / f"{letter.number}.dcm").is_file()
        pacs.statuses = []
        gateway.journal.revive([letter])
        pacs.wait_for(1)
        until_idle(gateway)
    assert pacs.stored == {SEG: 1}


def test_an_archive_that_rejects_associations_gets_a_few_and_then_none(
    tmp_path: Path, service: FakeService
) -> None:
    with archive() as pacs:
        configured = running.configuration(tmp_path, service.url, pacs.port, {"ae_title": "OTHER"})
        pacs.entity.require_called_aet = True
        with running.running(configured) as gateway:
            send(configured.listen.port, radiograph())
            until_idle(gateway)
            letters = gateway.journal.dead_letters()
        assert pacs.associations == 3
    assert [(letter.reason, letter.attempts) for letter in letters] == [("rejected", 3)] * 2


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0110, 0x0122, 0x0124])
def test_a_failed_store_never_counts_as_sent(
    tmp_path: Path, service: FakeService, pacs: Archive, status: int
) -> None:
    pacs.statuses = [status]
    configured = running.configuration(tmp_path, service.url, pacs.port, {"objects": ["seg"]})
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        pacs.wait_for(1)
        until_idle(gateway)
        value = gateway.metrics.registry.get_sample_value
        labels = {"peer": "archive", "outcome": "sent"}
        assert value("g2d_gateway_deliveries_total", labels) == 1
    assert pacs.stored == {SEG: 1}


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_counts_as_sent(
    tmp_path: Path, service: FakeService, pacs: Archive, status: int
) -> None:
    pacs.statuses = [status]
    configured = running.configuration(tmp_path, service.url, pacs.port, {"objects": ["seg"]})
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        until_idle(gateway)
        assert gateway.journal.counts().deliveries == {("archive", "done"): 1}
    assert (pacs.stored, pacs.associations) == ({}, 1)


def test_an_archive_without_labelmap_gets_the_binary_segmentation(
    tmp_path: Path, service: FakeService
) -> None:
    with archive(classes=[uid.SegmentationStorage]) as pacs:
        peer = {"objects": ["seg"], "labelmap": True}
        configured = running.configuration(tmp_path, service.url, pacs.port, peer)
        with running.running(configured) as gateway:
            send(configured.listen.port, radiograph())
            pacs.wait_for(1)
            until_idle(gateway)
            assert gateway.journal.dead_letters() == []
        assert pacs.classes == {SEG: str(uid.SegmentationStorage)}


def test_an_archive_with_labelmap_gets_it_alone(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    peer = {"objects": ["seg"], "labelmap": True}
    configured = running.configuration(tmp_path, service.url, pacs.port, peer)
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        pacs.wait_for(1)
        until_idle(gateway)
    assert list(pacs.classes.values()) == [LABELMAP_SEGMENTATION]


def test_an_archive_without_3d_reports_gets_comprehensive_ones(
    tmp_path: Path, service: FakeService
) -> None:
    with archive(classes=[uid.ComprehensiveSRStorage]) as pacs:
        configured = running.configuration(tmp_path, service.url, pacs.port, {"objects": ["sr"]})
        with running.running(configured) as gateway:
            send(configured.listen.port, radiograph())
            pacs.wait_for(1)
            until_idle(gateway)
        assert pacs.classes == {comprehensive_uid(SR): str(uid.ComprehensiveSRStorage)}


def test_a_result_without_any_presentation_context_is_a_dead_letter(
    tmp_path: Path, service: FakeService
) -> None:
    with archive(classes=[uid.ComprehensiveSRStorage]) as pacs:
        configured = running.configuration(tmp_path, service.url, pacs.port, {"objects": ["seg"]})
        with running.running(configured) as gateway:
            send(configured.listen.port, radiograph())
            until_idle(gateway)
            (letter,) = gateway.journal.dead_letters()
        assert letter.reason == "no_presentation_context"


def test_results_count_as_delivered_once_the_archive_has_committed(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = running.configuration(tmp_path, service.url, pacs.port, {"commitment": True})
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        running.wait_until(lambda: len(pacs.transactions) == 1)
        assert gateway.journal.counts().deliveries == {("archive", "sent"): 2}
        assert report(configured.listen.port, pacs.transactions[0]) == 0x0000
        assert gateway.journal.counts().deliveries == {("archive", "done"): 2}
        assert report(configured.listen.port, pacs.transactions[0]) == 0x0000  # a repeat
    assert pacs.stored == {SEG: 1, SR: 1}


def test_a_report_may_come_on_the_association_of_the_request(
    tmp_path: Path, service: FakeService
) -> None:
    with archive(reports=True) as pacs:
        configured = running.configuration(tmp_path, service.url, pacs.port, {"commitment": True})
        with running.running(configured) as gateway:
            send(configured.listen.port, radiograph())
            done = {("archive", "done"): 2}
            running.wait_until(lambda: gateway.journal.counts().deliveries == done)
    assert len(pacs.transactions) == 1


def test_a_result_that_is_not_committed_is_sent_again(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = running.configuration(tmp_path, service.url, pacs.port, {"commitment": True})
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        running.wait_until(lambda: len(pacs.transactions) == 1)
        assert report(configured.listen.port, pacs.transactions[0], failed=[SEG]) == 0x0000
        running.wait_until(lambda: len(pacs.transactions) == 2)
        assert report(configured.listen.port, pacs.transactions[1]) == 0x0000
        assert gateway.journal.counts().deliveries == {("archive", "done"): 2}
    assert pacs.stored == {SEG: 2, SR: 1}


def test_without_a_report_a_result_is_sent_again_and_at_last_given_up(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    peer = {"commitment": True, "commitment_timeout_s": 0.1, "objects": ["seg"]}
    configured = running.configuration(tmp_path, service.url, pacs.port, peer)
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        running.wait_until(lambda: len(gateway.journal.dead_letters()) == 1)
        (letter,) = gateway.journal.dead_letters()
    assert (letter.reason, pacs.stored) == ("not_committed", {SEG: 3})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_results_travel_over_tls_to_the_named_authority_only(
    tmp_path: Path, service: FakeService
) -> None:
    certificate, key = certificates.write(tmp_path, "archive")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with archive(tls=context) as pacs:
        for folder, tls, stored in (("a", {"ca_file": certificate}, 2), ("b", {}, 0)):
            pacs.stored.clear()
            configured = running.configuration(
                tmp_path / folder, service.url, pacs.port, {"tls": tls}
            )
            with running.running(configured) as gateway:
                send(configured.listen.port, radiograph())
                until_idle(gateway)
            assert len(pacs.stored) == stored
    gc.collect()  # a client of pynetdicom whose handshake fails leaves its socket to the collector


def test_delays_double_up_to_a_limit_with_jitter() -> None:
    retry = Retry(first_s=2, longest_s=60)
    for failures, most in ((1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (5000, 60.0)):
        assert most / 2 <= delay_s(retry, failures) <= most
    assert len({delay_s(retry, 6) for _ in range(20)}) > 1
