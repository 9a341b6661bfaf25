"""DICOM server of the gateway: C-ECHO, C-STORE, and N-EVENT-REPORT of storage commitment.

    C-STORE request --> Part 10 file --> intake --> status
    N-EVENT-REPORT  --> commitments --> status

Roles: storage SCP, verification SCP, storage commitment SCU (PS3.4 annexes A, B and J).
"""

import logging
import threading
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import AssociationSocket

from radiograph.readers.codecs.transfer_syntaxes import SUPPORTED
from service.gateway.commitment import Commitments
from service.gateway.configuration import Configuration
from service.gateway.errors import InvalidConfiguration
from service.gateway.receiving.bounded_server import (
    BoundedRequestHandler,
    Bounds,
    admit,
    bounded,
    close_socket,
    server_context,
)
from service.gateway.receiving.intake import Intake, Stated
from service.gateway.rules.rules import OUT_OF_RESOURCES
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.dicom")

TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian,
    *sorted(SUPPORTED - {ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}),
]
"""Transfer syntaxes that are accepted. A deflated data set could inflate without a limit."""
_MAX_PDU_BYTES = 256 * 1024
_POLL_S = 0.5
"""Seconds between two looks at whether the server is to stop."""
_UNLIMITED = 1_000_000
"""Associations that pynetdicom would admit; `Bounds` admits fewer."""


class DicomServer:
    """Listens for peers.

    Args:
        configuration: address, callers, bounds, TLS.
        intake: takes instances.
        commitments: takes reports of storage commitment.
        metrics: counts associations.
    """

    def __init__(
        self,
        configuration: Configuration,
        intake: Intake,
        commitments: Commitments,
        metrics: GatewayMetrics,
    ) -> None:
        self._configuration = configuration
        self._intake = intake
        self._commitments = commitments
        self._metrics = metrics
        listen = configuration.listen
        self._bounds = Bounds(listen.associations, listen.max_bytes, listen.timeout_s)
        self._entity = self._build()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to listen.

        Raises:
            InvalidConfiguration: the address or a file of TLS cannot be used.
        """
        listen = self._configuration.listen
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, lambda event: admit(event, self._bounds)),
            (evt.EVT_ACCEPTED, lambda _: self._metrics.association("accepted")),
            (evt.EVT_REJECTED, lambda _: self._metrics.association("rejected")),
            (evt.EVT_ABORTED, lambda _: self._metrics.association("aborted")),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._commitments.handle),
        ]
        try:
            tls = listen.tls
            context = None
            if tls is not None:
                ca = tls.client_ca_file
                context = server_context(
                    str(tls.certificate_file), str(tls.key_file), None if ca is None else str(ca)
                )
            self._server = self._entity.make_server(
                (listen.host, listen.port),
                ssl_context=context,
                evt_handlers=handlers,
                server_class=bounded(self._bounds),
                request_handler=BoundedRequestHandler,
            )
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"listen: {error}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="dicom-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop to listen and abort every association. Blocks."""
        if self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        for association in self._server.active_associations:
            association.abort()

    def _build(self) -> AE:
        listen = self._configuration.listen
        entity = AE(self._configuration.ae_title)
        entity.maximum_associations = _UNLIMITED
        entity.maximum_pdu_size = _MAX_PDU_BYTES
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = listen.timeout_s
        entity.require_called_aet = True
        entity.require_calling_aet = list(listen.allowed_ae_titles)
        entity.add_supported_context(Verification)
        for sop_class in self._configuration.sop_classes:
            entity.add_supported_context(sop_class, TRANSFER_SYNTAXES)
        # A peer that reports proposes the role of an SCP, or no roles at all.
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        return entity

    def _store(self, event: evt.Event) -> Dataset:
        request = cast(C_STORE, event.request)
        stated = Stated(
            str(request.AffectedSOPClassUID or ""), str(request.AffectedSOPInstanceUID or "")
        )
        answer = Dataset()
        try:
            caller = str(event.assoc.requestor.ae_title).strip()
            answer.Status = self._intake.take(event.encoded_dataset(), caller, stated).status
        except Exception:
            logger.exception("an instance was not taken")
            answer.Status = OUT_OF_RESOURCES
        return answer


def configure_pynetdicom() -> None:
    """Switch off its log, which has AE titles and identifiers, and send files as they are.

    It leaves a socket that is not, or no longer, connected open until the collector finds it.
    """
    AssociationSocket._shutdown_socket = close_socket  # type: ignore[assignment, method-assign]
    _config.LOG_HANDLER_LEVEL = "none"
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
