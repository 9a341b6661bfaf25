"""C-STORE to one peer, and requests for storage commitment.

    association: one presentation context for each SOP class and transfer syntax of the batch
        C-STORE of each result --> 0000, B000, B006, B007: sent    Axxx, Cxxx, 01xx: refused
        N-ACTION               --> N-EVENT-REPORT, on this association or on another

Source: PS3.4 section B.2.3 (status of C-STORE), annex J (storage commitment).
"""

import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from service.gateway import commitment
from service.gateway.commitment import Commitments
from service.gateway.configuration import ClientTls, DimsePeer
from service.gateway.errors import InvalidConfiguration
from service.gateway.sending.delivery import Kind, Outcome, PeerUnreachable
from service.gateway.storage.outbox import Outbox
from service.gateway.storage.records import Delivery
from service.gateway.storage.spool import Spool

_WARNINGS = {0xB000, 0xB006, 0xB007}
"""The peer has stored the object, perhaps with changes."""
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_REPORT_S = 1.0
"""Time for which an association stays open for a report on it."""


class DimseTransport:
    """Sends to one peer by C-STORE.

    Args:
        peer: the peer.
        ae_title: AE title of the gateway.
        spool: files of the results.
        outbox: deliveries.
        commitments: takes reports that come on an association of the gateway.
    """

    def __init__(
        self,
        peer: DimsePeer,
        ae_title: str,
        spool: Spool,
        outbox: Outbox,
        commitments: Commitments,
    ) -> None:
        """Read the certificates.

        Raises:
            InvalidConfiguration: a file of TLS cannot be used.
        """
        self._peer = peer
        self.commits = peer.commitment
        self._spool = spool
        self._outbox = outbox
        self._commitments = commitments
        self._tls = None if peer.tls is None else (client_context(peer.tls), peer.host)
        self._entity = AE(ae_title)
        self._entity.acse_timeout = self._entity.dimse_timeout = peer.timeout_s
        self._entity.network_timeout = self._entity.connection_timeout = peer.timeout_s

    def send(self, batch: Sequence[Delivery]) -> Iterator[tuple[Delivery, Outcome]]:
        """Send results over one association; yield the outcome of each.

        Raises:
            PeerUnreachable: there is no association, or it was lost.
        """
        kinds = {(one.result.sop_class_uid, one.result.transfer_syntax) for one in batch}
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in sorted(kinds)]
        with self._association(contexts) as association:
            accepted = {
                (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                for context in association.accepted_contexts
            }
            for delivery in batch:
                result = delivery.result
                if (result.sop_class_uid, result.transfer_syntax) in accepted:
                    yield delivery, self._store(association, delivery)
                else:
                    yield delivery, Outcome(Kind.UNSUPPORTED, "no_presentation_context")

    def request_commitment(self, sent: Sequence[Delivery]) -> None:
        """Ask the peer to commit to results that it has.

        Raises:
            PeerUnreachable: the peer was not asked; they are sent again once the time is over.
        """
        transaction = str(generate_uid(prefix=None))
        numbers = [delivery.number for delivery in sent]
        until = time.time() + self._peer.commitment_timeout_s
        named = [(one.result.sop_class_uid, one.result.sop_instance_uid) for one in sent]
        # Recorded first, because the report may come before the response.
        self._outbox.await_commitment(numbers, transaction, until)
        reported = threading.Event()
        with self._association(
            [build_context(StorageCommitmentPushModel)], reported
        ) as association:
            if not association.accepted_contexts:
                raise PeerUnreachable("no_commitment")
            answer, _ = association.send_n_action(
                commitment.request(transaction, named),
                commitment.REQUEST,
                UID(StorageCommitmentPushModel),
                commitment.INSTANCE,
            )
            if answer.get("Status") == 0:
                reported.wait(_REPORT_S)

    def _store(self, association: Association, delivery: Delivery) -> Outcome:
        path = self._spool.path("results", delivery.result.digest)
        try:
            answer = association.send_c_store(path)
        except (OSError, RuntimeError, ValueError) as error:  # the association ended meanwhile
            raise PeerUnreachable("association_lost") from error
        status = answer.get("Status")
        if status is None:
            raise PeerUnreachable("association_lost")
        return _outcome(int(status))

    @contextmanager
    def _association(
        self, contexts: list[PresentationContext], reported: threading.Event | None = None
    ) -> Iterator[Association]:
        def report(event: evt.Event) -> tuple[int, Dataset | None]:
            answer = self._commitments.handle(event)
            if reported is not None:
                reported.set()
            return answer

        association = self._entity.associate(
            self._peer.host,
            self._peer.port,
            contexts=contexts,
            ae_title=self._peer.ae_title,
            tls_args=self._tls,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)],
        )
        # pynetdicom aborts an association that the peer accepted without any of its contexts.
        if not association.is_established and not association.rejected_contexts:
            raise PeerUnreachable("rejected" if association.is_rejected else "no_association")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _outcome(status: int) -> Outcome:
    """Return the outcome of a C-STORE by its status."""
    if status == 0 or status in _WARNINGS:
        return Outcome(Kind.SENT)
    if status in _OUT_OF_RESOURCES:
        return Outcome(Kind.BUSY, f"{status:04X}")
    if status == _SOP_CLASS_NOT_SUPPORTED:
        return Outcome(Kind.UNSUPPORTED, f"{status:04X}")
    return Outcome(Kind.REFUSED, f"{status:04X}")


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """Return the TLS context of a client.

    Raises:
        InvalidConfiguration: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate_file is not None and tls.key_file is not None:
            context.load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except OSError as error:
        raise InvalidConfiguration(f"tls: {error.strerror or 'a file is unusable'}") from error
    return context
