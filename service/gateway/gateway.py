"""Gateway: its parts put together, started in order and stopped in reverse.

lock of the folder --> spool, journal --> senders, analyst, performers --> DICOM and HTTP servers
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.audit.build import build_transfers
from service.errors import ServiceError
from service.gateway.analysis.analyst import Analyst
from service.gateway.analysis.service_client import ServiceClient
from service.gateway.commitment import Commitments
from service.gateway.configuration import Configuration, DimsePeer, StowPeer
from service.gateway.errors import GatewayUnavailable
from service.gateway.receiving import scp
from service.gateway.receiving.intake import Intake
from service.gateway.sending.delivery import Transport
from service.gateway.sending.dimse_transport import DimseTransport
from service.gateway.sending.fallback import Fallbacks
from service.gateway.sending.sender import Sender
from service.gateway.sending.stow_transport import StowTransport
from service.gateway.storage.journal import Journal, journal_database
from service.gateway.storage.outbox import Outbox
from service.gateway.storage.spool import Spool
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist.performer import Performer
from service.observability.metrics.gateway_metrics import GatewayMetrics
from service.poller import Poller
from service.settings import AuditSettings
from service.storage.private_files import make_private_folder

logger = logging.getLogger("g2d.gateway")

_NOT_AUDITED = AuditSettings()
_TIDY_S = 60.0
_STOP_S = 10.0


class Gateway:
    """One gateway.

    Args:
        configuration: everything that it is told.
        audit: settings of the audit log.
    """

    def __init__(self, configuration: Configuration, audit: AuditSettings = _NOT_AUDITED) -> None:
        """Put the parts together.

        Raises:
            InvalidConfiguration: a secret or a certificate cannot be used.
            InvalidSettings: the audit log cannot be used.
        """
        scp.configure_pynetdicom()
        self._configuration = configuration
        self.metrics = GatewayMetrics()
        self._spool = Spool(configuration.folder, configuration.min_free_bytes)
        self._database = journal_database(configuration.folder)
        self.journal = Journal(self._database)
        self._outbox = Outbox(self._database)
        self._commitments = Commitments(self._outbox, self.metrics)
        self._client = ServiceClient(configuration.service)
        self._transfers = build_transfers(audit)
        self.intake = Intake(
            configuration, self._spool, self.journal, self.metrics, self._transfers
        )
        self._analyst = Analyst(
            configuration, self._client, self._spool, self.journal, self.metrics
        )
        fallbacks = Fallbacks(self._outbox, self._spool)
        self._senders = [
            Sender(
                peer,
                self._transport(peer),
                self._outbox,
                self._spool,
                fallbacks,
                self.metrics,
                self._transfers,
            )
            for peer in configuration.peers
        ]
        self._performers = [
            Performer(
                worklist,
                configuration,
                Workitems(self._database, worklist.name),
                self.journal,
                self.intake,
                self.metrics,
            )
            for worklist in configuration.worklists
        ]
        self._server = scp.DicomServer(configuration, self.intake, self._commitments, self.metrics)
        self._tidier = Poller("the spool", self.tidy, _TIDY_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run every part but the HTTP server within the context.

        Raises:
            GatewayUnavailable: the folder cannot be used, or another gateway uses it.
            InvalidConfiguration: the DICOM server cannot listen.
        """
        with _locked(self._configuration.folder):
            self._spool.prepare()
            self._database.open()
            self.tidy()
            self._transfers.start()
            workers: list[Sender | Analyst | Performer] = [
                *self._senders,
                self._analyst,
                *self._performers,
            ]
            for worker in workers:
                worker.start()
            self._tidier.start()
            try:
                self._server.start()
                logger.info("the gateway listens")
                yield
            finally:
                self._server.stop()
                for worker in workers:
                    worker.stop(_STOP_S)
                self._tidier.stop(_STOP_S)
                self._transfers.close()
                self._client.close()
                self._database.close()

    def is_ready(self) -> bool:
        """Return whether instances can be taken; the service may be away meanwhile. Blocks."""
        try:
            self._spool.check_room(0)
            self.journal.counts()
        except ServiceError:
            return False
        return True

    def refresh_metrics(self) -> None:
        """Update the metrics of the journal. Blocks."""
        try:
            counts = self.journal.counts()
        except GatewayUnavailable:
            logger.exception("the journal cannot be counted")
            return
        self.metrics.journal(counts.instances, counts.deliveries, counts.workitems)

    def _transport(self, peer: DimsePeer | StowPeer) -> Transport:
        if isinstance(peer, StowPeer):
            return StowTransport(peer, self._spool)
        return DimseTransport(
            peer, self._configuration.ae_title, self._spool, self._outbox, self._commitments
        )

    def tidy(self, now: float | None = None) -> None:
        """Forget what was delivered long ago, and remove files that are no longer needed.

        Args:
            now: time in seconds since 1970, by default that of the clock.
        """
        now = time.time() if now is None else now
        self.journal.forget(now - self._configuration.remember_s)
        self._spool.sweep(self.journal.needed_files(), now)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases however the process ends."""
    try:
        make_private_folder(folder)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise GatewayUnavailable(f"{folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise GatewayUnavailable(f"another gateway uses {folder}") from error
    finally:
        os.close(descriptor)
