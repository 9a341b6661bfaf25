"""The DICOM server: what it takes, what it refuses, and peers that mean no good."""

import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    SegmentationStorage,
)

from service.gateway.configuration import ClientTls, Configuration, ServerTls
from service.gateway.gateway import Gateway
from service.gateway.sending.dimse_transport import client_context
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import parsed, radiograph
from tests.builders.gateway.results import result
from tests.builders.gateway.running import associated, send
from tests.builders.service.http import certificates

CLOSED = b""


def limited(tmp_path: Path, service: FakeService, pacs: Archive, **listen: Any) -> Configuration:
    configured = running.configuration(tmp_path, service.url, pacs.port)
    changed = configured.listen.model_copy(update=listen)
    return configured.model_copy(update={"listen": changed})


def test_an_echo_is_answered(configured: Configuration, gateway: Gateway) -> None:
    with associated(configured.listen.port) as association:
        assert association.send_c_echo().Status == 0x0000


def test_a_structured_report_or_a_segmentation_has_no_presentation_context(
    configured: Configuration, gateway: Gateway
) -> None:
    entity = AE("MODALITY")
    for sop_class in (ComprehensiveSRStorage, SegmentationStorage):
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", configured.listen.port, ae_title="G2D")
    assert association.accepted_contexts == []


def test_our_own_secondary_capture_is_refused_by_its_uid(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = running.configuration(
        tmp_path,
        service.url,
        pacs.port,
        {"objects": ["sc"]},
        rules=[{"name": "all", "modalities": [], "peers": ["archive"]}],
    )
    with running.running(configured):
        send(configured.listen.port, radiograph())
        pacs.wait_for(1)
        assert send(configured.listen.port, result(radiograph(), "sc")) == [0xC104]
    assert len(pacs.stored) == 1


def test_what_no_rule_takes_can_be_ignored(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = running.configuration(tmp_path, service.url, pacs.port, not_taken="ignore")
    with running.running(configured) as gateway:
        assert send(configured.listen.port, radiograph(Modality="MG")) == [0x0000]
        assert gateway.journal.counts().instances == {}


def test_callers_and_called_titles_are_checked(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = limited(tmp_path, service, pacs, allowed_ae_titles=("CR1",))
    with running.running(configured):
        assert send(configured.listen.port, radiograph(), calling="CR1") == [0x0000]
        with associated(configured.listen.port, calling="STRANGER") as association:
            assert association.is_rejected
        entity = AE("CR1")
        entity.add_requested_context("1.2.840.10008.1.1")
        wrong = entity.associate("127.0.0.1", configured.listen.port, ae_title="OTHER")
        assert wrong.is_rejected


def test_a_message_must_name_the_instance_that_it_brings(
    configured: Configuration, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = radiograph()
    with associated(configured.listen.port, data) as association:
        dataset = parsed(data)
        request = association.dimse  # the data set is changed behind the message
        original = request.send_msg

        def altered(message: Any, context: int) -> None:
            message.AffectedSOPInstanceUID = "1.2.3"
            original(message, context)

        monkeypatch.setattr(request, "send_msg", altered)
        assert association.send_c_store(dataset).Status == 0xA900
    assert gateway.journal.counts().instances == {}


@pytest.mark.parametrize("content", [b"", b"\xff" * 500, b"\x08\x00\x16\x00UI\xff\xff1.2"])
def test_what_is_not_dicom_is_refused_with_a_status(
    configured: Configuration, gateway: Gateway, tmp_path: Path, content: bytes
) -> None:
    data = radiograph()
    start = data.index(b"\x08\x00\x16\x00", 132)  # the first element of the data set
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(data[:start] + content)
    with associated(configured.listen.port, data) as association:
        assert association.send_c_store(damaged).Status == 0xC000
    assert gateway.journal.counts().instances == {}


def test_a_full_disk_is_out_of_resources(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = running.configuration(tmp_path, service.url, pacs.port, min_free_bytes=2**60)
    with running.running(configured) as gateway:
        assert send(configured.listen.port, radiograph()) == [0xA700]
        assert not gateway.is_ready()
        assert gateway.journal.counts().instances == {}


def test_an_object_that_is_too_large_aborts_the_association(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = limited(tmp_path, service, pacs, max_bytes=2**20)
    large = parsed(radiograph())
    large.PixelData = bytes(2 * 2**20)
    with running.running(configured) as gateway:
        with associated(configured.listen.port, radiograph()) as association:
            assert "Status" not in association.send_c_store(large)
        assert association.is_aborted
        assert send(configured.listen.port, radiograph()) == [0x0000]
        assert (
            gateway.metrics.registry.get_sample_value(
                "g2d_gateway_associations_total", {"outcome": "accepted"}
            )
            == 2
        )


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
        struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(64),
        struct.pack(">BBL", 4, 0, 12) + struct.pack(">LBB", 8, 1, 0) + bytes(6),
        struct.pack(">BBL", 1, 0, 68) + bytes(68),
    ],
    ids=["http", "tls", "4 GB", "data first", "zeros"],
)
def test_garbage_ends_the_connection_and_nothing_else(
    tmp_path: Path, service: FakeService, pacs: Archive, data: bytes
) -> None:
    configured = limited(tmp_path, service, pacs, timeout_s=0.5)
    with running.running(configured):
        with socket.create_connection(("127.0.0.1", configured.listen.port), timeout=20) as peer:
            peer.sendall(data)
            received = b""
            while piece := peer.recv(4096):
                received += piece
            assert received[:1] in (CLOSED, b"\x07", b"\x03")
        assert send(configured.listen.port, radiograph()) == [0x0000]


def test_a_peer_that_dawdles_is_cut_off(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    configured = limited(tmp_path, service, pacs, timeout_s=0.5)
    with running.running(configured):
        with socket.create_connection(("127.0.0.1", configured.listen.port), timeout=20) as peer:
            peer.sendall(b"\x01\x00\x00")  # half of the header of a PDU
            assert peer.recv(16) in (CLOSED, b"\x07\x00\x00\x00\x00\x04")
        with socket.create_connection(("127.0.0.1", configured.listen.port), timeout=20) as peer:
            assert peer.recv(16)[:1] in (CLOSED, b"\x07")  # says nothing at all
        assert send(configured.listen.port, radiograph()) == [0x0000]


def test_tls_admits_clients_with_a_certificate_and_nobody_waits_for_a_silent_one(
    tmp_path: Path, service: FakeService, pacs: Archive
) -> None:
    certificate, key = certificates.write(tmp_path, "both")
    tls = ServerTls(certificate_file=certificate, key_file=key, client_ca_file=certificate)
    configured = limited(tmp_path, service, pacs, tls=tls)
    address = ("127.0.0.1", configured.listen.port)
    mine = client_context(
        ClientTls(ca_file=certificate, certificate_file=certificate, key_file=key)
    )
    nameless = client_context(ClientTls(ca_file=certificate))
    with running.running(configured), socket.create_connection(address):  # says nothing
        outcomes = []
        for context in (mine, nameless, None):
            entity = AE("MODALITY")
            entity.acse_timeout = 5
            entity.add_requested_context("1.2.840.10008.1.1")
            arguments = None if context is None else (context, "127.0.0.1")
            association = entity.associate(*address, ae_title="G2D", tls_args=arguments)
            outcomes.append(association.is_established)
            association.abort()
    assert outcomes == [True, False, False]


def test_of_twenty_associations_ten_are_served_and_the_rest_rejected_as_transient(
    configured: Configuration, gateway: Gateway, pacs: Archive
) -> None:
    opened: list[Any] = []
    barrier = threading.Barrier(20)

    def open_one() -> None:
        entity = AE("MODALITY")
        for context in parsed_contexts():
            entity.add_requested_context(*context)
        barrier.wait()
        opened.append(entity.associate("127.0.0.1", configured.listen.port, ae_title="G2D"))

    threads = [threading.Thread(target=open_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served = [one for one in opened if one.is_established]
    rejected = [one.acceptor.primitive for one in opened if one.is_rejected]
    assert (len(served), len(rejected)) == (10, 10)
    assert {(one.result, one.result_source, one.diagnostic) for one in rejected} == {(2, 3, 2)}
    for number, association in enumerate(served):
        assert association.send_c_store(parsed(radiograph(number))).Status == 0x0000
        association.release()
    assert send(configured.listen.port, *map(radiograph, range(10, 20))) == [0x0000] * 10
    pacs.wait_for(40)
    assert set(pacs.stored.values()) == {1}


def parsed_contexts() -> list[tuple[str, str]]:
    data = parsed(radiograph())
    return [(data.SOPClassUID, data.file_meta.TransferSyntaxUID)]
