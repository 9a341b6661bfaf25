"""Storage commitment: reports by peers about the results that they promise to keep.

    sender --N-ACTION, transaction UID--> peer --N-EVENT-REPORT--> handle --> outbox

A report comes on the association of the request or on one that the peer opens, in any order with
the response to the request (PS3.4 annex J.3). The transaction is therefore recorded before it is
requested. A result that is not committed, or about which no report comes, is sent again.
"""

import logging
import time
from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt

from service.errors import ServiceError
from service.gateway.storage.outbox import Outbox
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.commitment")

INSTANCE = UID("1.2.840.10008.1.20.1.1")
"""Well-known SOP instance of the Storage Commitment Push Model."""
REQUEST = 1
"""Action type of a request."""
_SUCCESS, _PROCESSING_FAILURE, _INVALID_ARGUMENT = 0x0000, 0x0110, 0x0115
_RESEND_S = 1.0


class Commitments:
    """Takes reports from any association.

    Args:
        outbox: deliveries.
        metrics: counts outcomes.
    """

    def __init__(self, outbox: Outbox, metrics: GatewayMetrics) -> None:
        self._outbox = outbox
        self._metrics = metrics

    def handle(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Answer an N-EVENT-REPORT; an unknown transaction is answered with success, as a repeat.

        Returns:
            Status of the response, and no data set.
        """
        try:
            report = event.event_information
            transaction = str(report.get("TransactionUID", ""))
            committed = list(_instances(report.get("ReferencedSOPSequence")))
            failed = list(_instances(report.get("FailedSOPSequence")))
        except Exception:
            logger.exception("a report of storage commitment cannot be read")
            return _INVALID_ARGUMENT, None
        try:
            stored = self._outbox.commit(transaction, committed)
            lost = self._outbox.decline(transaction, failed, time.time() + _RESEND_S)
        except ServiceError:
            logger.exception("a report of storage commitment cannot be recorded")
            return _PROCESSING_FAILURE, None
        for outcome, count in (("committed", stored), ("not_committed", lost)):
            if count:
                self._metrics.delivery("commitment", outcome, count)
        return _SUCCESS, None


def request(transaction: str, results: Iterable[tuple[str, str]]) -> Dataset:
    """Return the information of an N-ACTION that asks for commitment.

    Args:
        transaction: UID of the transaction.
        results: SOP class and instance UIDs.
    """
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = [
        _reference(sop_class, instance) for sop_class, instance in results
    ]
    return information


def _reference(sop_class: str, instance: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class
    reference.ReferencedSOPInstanceUID = instance
    return reference


def _instances(sequence: Iterable[Dataset] | None) -> Iterable[str]:
    return (str(item.ReferencedSOPInstanceUID) for item in sequence or ())
