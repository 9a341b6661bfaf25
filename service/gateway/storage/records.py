"""Records of the journal: instances, results and deliveries, and their states.

instance   queued -> done | suppressed | dead                    dead -> queued by resend
delivery   queued -> done                                        without commitment
           queued -> sent -> done | queued again                 with commitment
           queued -> dead                                        dead -> queued by resend
workitem   claiming -> claimed -> performing -> completing -> completed
                             '----------'------> canceling -> canceled
           claiming | claimed | performing | completing | canceling -> lost: it is not ours
           any of these -> dead                                  dead -> as before by resend
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LABELMAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP class Label Map Segmentation Storage, which pydicom does not name."""


class InstanceState(StrEnum):
    """States of an instance."""

    QUEUED = "queued"
    DONE = "done"
    SUPPRESSED = "suppressed"
    DEAD = "dead"


class DeliveryState(StrEnum):
    """States of the delivery of one result to one peer."""

    QUEUED = "queued"
    SENT = "sent"
    DONE = "done"
    DEAD = "dead"


class WorkitemState(StrEnum):
    """States of a workitem, as the performer sees it."""

    CLAIMING = "claiming"
    CLAIMED = "claimed"
    PERFORMING = "performing"
    COMPLETING = "completing"
    CANCELING = "canceling"
    COMPLETED = "completed"
    CANCELED = "canceled"
    LOST = "lost"
    DEAD = "dead"


OPEN_WORKITEMS = (
    WorkitemState.CLAIMING,
    WorkitemState.CLAIMED,
    WorkitemState.PERFORMING,
    WorkitemState.COMPLETING,
    WorkitemState.CANCELING,
)
"""States in which there is something to do for a workitem."""


@dataclass(frozen=True)
class QueuedInstance:
    """An instance that waits for its results.

    Attributes:
        number: number in the journal; the only identifier that logs contain.
        digest: name of its file.
        rule: name of the rule that took it.
        attempts: attempts at which the service failed.
    """

    number: int
    digest: str
    rule: str
    attempts: int


@dataclass(frozen=True)
class ResultObject:
    """One DICOM object of a result.

    Attributes:
        kind: `seg`, `sr`, `gsps`, `sc` or `heatmap`.
        sop_class_uid, sop_instance_uid, transfer_syntax: of its file meta information.
        digest: SHA-256 of the file, and its name in the spool.
        fallback: SOP Instance UID of the form that a peer gets which does not take this one.
        study_instance_uid, series_instance_uid: where it is; empty if an older release recorded it.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    digest: str
    fallback: str | None = None
    study_instance_uid: str = ""
    series_instance_uid: str = ""


@dataclass(frozen=True)
class Outgoing:
    """A result and the names of the peers that it is to be delivered to."""

    result: ResultObject
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Delivery:
    """One result that is to be sent to one peer.

    Attributes:
        number: number in the journal.
        result: the object.
        instance: number of the instance that the object was made from.
        attempts: attempts that failed, refusals included.
        refusals: attempts that the peer refused.
    """

    number: int
    result: ResultObject
    instance: int
    attempts: int
    refusals: int


@dataclass(frozen=True)
class OpenWorkitem:
    """A workitem for which there is something to do.

    Attributes:
        number: number in the journal; the only identifier that logs contain.
        uid: SOP Instance UID of the workitem.
        transaction: Transaction UID of the claim.
        procedure: value of its scheduled workitem code.
        state: state of the workitem.
        attempts, refusals: failures in this state that are the worklist's or the network's, and
            answers that refuse what was asked.
        recorded, started, ended: seconds since 1970 at which it was recorded, claimed and done.
        reported: progress in percent that was written last; -1 if none was.
        cancel_requested: somebody asked for the cancellation.
        reason: reason of the cancellation, or of the last failure.
    """

    number: int
    uid: str
    transaction: str
    procedure: str
    state: str
    attempts: int
    refusals: int
    recorded: float
    started: float | None
    ended: float | None
    reported: int
    cancel_requested: bool
    reason: str | None


@dataclass(frozen=True)
class WorkitemProgress:
    """Progress of the work on one workitem.

    Attributes:
        instances: number of its instances by state.
        deliveries: number of deliveries of its results by state.
        canceled: instances that were dropped because the workitem is canceled.
    """

    instances: Mapping[str, int]
    deliveries: Mapping[str, int]
    canceled: int


@dataclass(frozen=True)
class Output:
    """A result of a workitem, and the name of a peer that has it."""

    result: ResultObject
    peer: str


@dataclass(frozen=True)
class DeadLetter:
    """An instance, a result or a workitem that was given up.

    Attributes:
        place: `service` for an instance, the name of the peer of a result or of a worklist.
        number: number of the instance, delivery or workitem.
        reason: last reason, a word or a status.
        attempts: number of attempts.
    """

    place: str
    number: int
    reason: str
    attempts: int


@dataclass(frozen=True)
class Counts:
    """Numbers of instances by state, of deliveries by peer too, of workitems by worklist too."""

    instances: Mapping[str, int]
    deliveries: Mapping[tuple[str, str], int]
    workitems: Mapping[tuple[str, str], int]
