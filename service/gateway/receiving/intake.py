"""Intake: takes one received file, by whichever protocol it came, or says why not.

    bytes --limits, header--> instance --rules--> known? --> spool (fsync) --> journal --> success

Success means that the file and its record are on disk. An instance that was recorded before, with
the same content, is answered with success and not analysed again; other content under the same UID
is a correction, which is analysed too.
"""

import logging
from dataclasses import dataclass
from enum import StrEnum

from radiograph.errors import InputError
from radiograph.limits import Limits
from service.audit.transfers import TransferAuditor
from service.errors import AuditUnavailable, StorageFull
from service.gateway.configuration import Configuration
from service.gateway.errors import GatewayUnavailable, NotTaken
from service.gateway.rules import rules
from service.gateway.rules.instance import Instance, read_instance
from service.gateway.storage.journal import Journal
from service.gateway.storage.spool import Spool
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.intake")

SUCCESS = 0x0000


class Outcome(StrEnum):
    """Outcomes of taking a file that are answered with success."""

    TAKEN = "taken"
    SUPPRESSED = "suppressed"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Stated:
    """Names by which the sender's message refers to an instance.

    Attributes:
        sop_class_uid: Affected SOP Class UID.
        sop_instance_uid: Affected SOP Instance UID.
    """

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Answer:
    """Answer to one file.

    Attributes:
        status: status of the C-STORE service; 0 is success.
        instance: the instance, or None if the file could not be read.
        refusal: reason of a refusal as one word, or None.
        outcome: what became of an instance that was not refused.
    """

    status: int
    instance: Instance | None = None
    refusal: str | None = None
    outcome: Outcome | None = None


class Intake:
    """Takes files from any thread.

    Args:
        configuration: rules and limits.
        spool, journal: keep what is taken.
        metrics: counts outcomes.
        transfers: writes the audit log, if there is one.
    """

    def __init__(
        self,
        configuration: Configuration,
        spool: Spool,
        journal: Journal,
        metrics: GatewayMetrics,
        transfers: TransferAuditor,
    ) -> None:
        self._configuration = configuration
        self._spool = spool
        self._journal = journal
        self._metrics = metrics
        self._transfers = transfers
        self._limits = Limits(max_bytes=configuration.listen.max_bytes)

    def take(
        self,
        data: bytes,
        caller: str | None,
        stated: Stated | None = None,
        principal: str = "stow",
    ) -> Answer:
        """Return the answer to a Part 10 file, and audit it; it never raises.

        Args:
            data: the file.
            caller: calling AE title, or None for STOW-RS.
            stated: names in the message that brought the file, which the file must repeat.
            principal: where the file came from without a caller, for the audit log.
        """
        answer = self._answer(data, caller, stated)
        name = None if answer.instance is None else answer.instance.sop_instance_uid
        sender = principal if caller is None else f"ae:{caller}"
        self._transfers.received(sender, name, answer.refusal)
        return answer

    def _answer(self, data: bytes, caller: str | None, stated: Stated | None) -> Answer:
        instance = None
        try:
            self._transfers.check()
            instance = read_instance(data, self._limits)
            if stated not in (None, Stated(instance.sop_class_uid, instance.sop_instance_uid)):
                return self._refuse("contradiction", rules.DOES_NOT_MATCH_SOP_CLASS, instance)
            outcome = self._keep(data, instance, caller)
        except InputError:
            return self._refuse("unreadable", rules.CANNOT_UNDERSTAND, instance)
        except NotTaken as refusal:
            if self._configuration.not_taken == "ignore":
                self._metrics.received(Outcome.IGNORED)
                return Answer(SUCCESS, instance, outcome=Outcome.IGNORED)
            return self._refuse(refusal.reason, refusal.status, instance)
        except StorageFull:
            return self._refuse("disk_full", rules.OUT_OF_RESOURCES, instance)
        except (AuditUnavailable, GatewayUnavailable):
            logger.exception("an instance cannot be kept")
            return self._refuse("unavailable", rules.OUT_OF_RESOURCES, instance)
        self._metrics.received(outcome)
        return Answer(SUCCESS, instance, outcome=outcome)

    def _keep(self, data: bytes, instance: Instance, caller: str | None) -> Outcome:
        if self._journal.is_own_result(instance.sop_instance_uid):
            raise NotTaken("own_result", rules.OWN_RESULT)
        rule = rules.choose(self._configuration, instance, caller)
        if self._journal.knows(instance):
            return Outcome.DUPLICATE
        code = rules.suppressing(self._configuration, instance.warnings)
        if code is None:
            self._spool.write("inputs", instance.digest, data)
        if not self._journal.add(instance, rule.name, code):
            return Outcome.DUPLICATE
        return Outcome.TAKEN if code is None else Outcome.SUPPRESSED

    def _refuse(self, reason: str, status: int, instance: Instance | None) -> Answer:
        self._metrics.received(reason)
        logger.info("refused", extra={"fields": {"reason": reason, "status": f"{status:04X}"}})
        return Answer(status, instance, reason)
