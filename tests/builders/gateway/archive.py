"""DICOM archive of a test: takes objects by C-STORE, refuses on request, and commits to storage."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.builders.gateway.ports import free_port
from tests.builders.gateway.results import CLASSES

AE_TITLE = "ARCHIVE"


@dataclass
class Archive:
    """State of one archive, which a test may change at any time.

    Attributes:
        port: port that it listens on.
        statuses: statuses to answer with, one for each C-STORE; afterwards success.
        stored: number of C-STOREs answered with success, by SOP Instance UID.
        classes: SOP class of each instance.
        associations: number of associations.
        transactions: requests for storage commitment.
        entity: the application entity.
        reports: report about a transaction at once, on the association of the request.
    """

    port: int
    statuses: list[int] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)
    classes: dict[str, str] = field(default_factory=dict)
    associations: int = 0
    transactions: list[Dataset] = field(default_factory=list)
    entity: AE = field(default_factory=lambda: AE(AE_TITLE))
    reports: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until so many instances are stored."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.stored) >= count, timeout_s), self.stored


@contextmanager
def archive(
    port: int | None = None,
    classes: Sequence[str] | None = None,
    tls: Any = None,
    *,
    reports: bool = False,
) -> Iterator[Archive]:
    """Run an archive that knows these SOP classes, by default all that results have."""
    state = Archive(free_port() if port is None else port, reports=reports)
    entity = state.entity
    for sop_class in CLASSES.values() if classes is None else classes:
        entity.add_supported_context(sop_class, ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context(StorageCommitmentPushModel)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_REQUESTED, _count, [state]),
        (evt.EVT_C_STORE, _store, [state]),
        (evt.EVT_N_ACTION, _commit, [state]),
    ]
    server = entity.start_server(
        ("127.0.0.1", state.port), block=False, evt_handlers=handlers, ssl_context=tls
    )
    assert server is not None
    try:
        yield state
    finally:
        server.shutdown()


def report(port: int, transaction: Dataset, failed: Sequence[str] = ()) -> int:
    """Report about a transaction on an association of its own; return the status of the answer."""
    entity = AE(AE_TITLE)
    entity.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = entity.associate("127.0.0.1", port, ae_title="G2D", ext_neg=[role])
    assert association.is_established
    information = Dataset()
    information.TransactionUID = transaction.TransactionUID
    named = transaction.ReferencedSOPSequence
    information.ReferencedSOPSequence = [
        item for item in named if item.ReferencedSOPInstanceUID not in failed
    ]
    if failed:
        information.FailedSOPSequence = [
            item for item in named if item.ReferencedSOPInstanceUID in failed
        ]
    answer, _ = association.send_n_event_report(
        information, 2 if failed else 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
    )
    association.release()
    return int(answer.Status)


def _count(_: evt.Event, state: Archive) -> None:
    state.associations += 1


def _store(event: evt.Event, state: Archive) -> int:
    with state.changed:
        if state.statuses:
            return state.statuses.pop(0)
        request = cast(C_STORE, event.request)
        instance = str(request.AffectedSOPInstanceUID)
        state.stored[instance] += 1
        state.classes[instance] = str(request.AffectedSOPClassUID)
        state.changed.notify_all()
    return 0x0000


def _commit(event: evt.Event, state: Archive) -> tuple[int, None]:
    with state.changed:
        state.transactions.append(event.action_information)
        state.changed.notify_all()
    if state.reports:
        threading.Thread(target=_report_on, args=(event.assoc, event.action_information)).start()
    return 0x0000, None


def _report_on(association: Association, transaction: Dataset) -> None:
    """Report on the association of the request, after the response to it."""
    time.sleep(0.1)
    association.send_n_event_report(
        transaction, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
    )
