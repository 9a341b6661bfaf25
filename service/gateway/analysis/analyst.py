"""Analyst: threads that send queued instances to the service and keep the results.

    journal --next_instance--> spool --read--> service --objects--> spool --> journal, outbox
                  '- suppressed by a warning of the answer     '- waits | fails | refuses

An instance leaves the queue in the transaction that records its results. Until then a crash changes
nothing: the instance is analysed again, and the service makes the same objects.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from service.errors import ServiceError
from service.gateway.analysis.service_client import Analysis, MadeObject, ServiceClient
from service.gateway.backoff import delay_s
from service.gateway.configuration import (
    Configuration,
    DimsePeer,
    Retry,
    Rule,
    StowPeer,
)
from service.gateway.errors import (
    GatewayUnavailable,
    ResultConflict,
    ServiceFails,
    ServiceRefuses,
    ServiceWaits,
)
from service.gateway.rules.rules import suppressing
from service.gateway.storage.journal import SERVICE, Journal
from service.gateway.storage.records import (
    LABELMAP_SEGMENTATION,
    Outgoing,
    QueuedInstance,
    ResultObject,
)
from service.gateway.storage.spool import Spool
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.analysis")

_IDLE_S = 0.1
_BACK_OFF = Retry(first_s=1.0, longest_s=15.0)


class Analyst:
    """Analyses what is queued.

    Args:
        configuration: rules, peers and concurrency.
        client: asks the service.
        spool, journal: files and records.
        metrics: counts outcomes.
    """

    def __init__(
        self,
        configuration: Configuration,
        client: ServiceClient,
        spool: Spool,
        journal: Journal,
        metrics: GatewayMetrics,
    ) -> None:
        self._configuration = configuration
        self._client = client
        self._spool = spool
        self._journal = journal
        self._metrics = metrics
        self._rules = {rule.name: rule for rule in configuration.rules}
        self._claimed: set[int] = set()
        self._waits = 0  # answers in a row for which the service is the cause
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"analyst-{number}", daemon=True)
            for number in range(configuration.service.concurrency)
        ]

    def start(self) -> None:
        """Start to analyse."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop; an analysis that is under way is left, and done again later. Blocks."""
        self._stopping.set()
        due = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, due - time.monotonic()))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                worked = self.analyse_next()
            except Exception:
                logger.exception("an instance could not be analysed")
                worked = False
            if not worked:
                self._stopping.wait(_IDLE_S)

    def analyse_next(self) -> bool:
        """Analyse one instance; return False if none is due."""
        instance = self._claim()
        if instance is None:
            return False
        started = time.perf_counter()
        try:
            outcome = self._analyse(instance)
        finally:
            with self._lock:
                self._claimed.discard(instance.number)
        seconds = time.perf_counter() - started
        self._metrics.analysis(outcome, seconds)
        logger.info(
            "analysed",
            extra={"fields": {"instance": instance.number, "outcome": outcome, "s": seconds}},
        )
        return True

    def _claim(self) -> QueuedInstance | None:
        now = time.time()
        with self._lock:
            if now < self._not_before:
                return None
            instance = self._journal.next_instance(self._claimed, now)
            if instance is not None:
                self._claimed.add(instance.number)
            return instance

    def _analyse(self, instance: QueuedInstance) -> str:
        """Work on one instance and record how it ended; return the outcome as one word."""
        rule = self._rules.get(instance.rule)
        if rule is None:
            return self._give_up(instance, "rule_removed")
        if not self._spool.has("inputs", instance.digest):
            return self._give_up(instance, "file_missing")
        try:
            outcome = self._results(instance, rule)
        except ServiceWaits as error:
            self._wait(instance, str(error))
            return "waits"
        except ServiceRefuses as error:
            return self._give_up(instance, str(error))
        except ResultConflict:
            return self._give_up(instance, "uid_conflict")
        except ServiceFails as error:
            return self._count_failure(instance, str(error))
        except ServiceError as error:  # our disk: nothing is lost, and the service is not at fault
            logger.exception("results cannot be kept")
            with suppress(GatewayUnavailable):
                self._wait(instance, type(error).__name__)
            return "unavailable"
        self._waits = 0
        return outcome

    def _results(self, instance: QueuedInstance, rule: Rule) -> str:
        data = self._spool.read("inputs", instance.digest)
        analysis = self._client.analyse(data, self._query(rule))
        code = suppressing(self._configuration, analysis.warnings)
        if code is not None:
            self._journal.suppress(instance.number, code)
            outcome = "suppressed"
        else:
            labelmaps = self._labelmaps(data, rule, analysis)
            made = (*analysis.objects, *labelmaps)
            for one in made:
                self._spool.write("results", one.result.digest, one.data)
            outgoing = [
                Outgoing(one.result, self._recipients(rule, one.result, labelmaps)) for one in made
            ]
            if not self._journal.finish(instance.number, outgoing):
                return "canceled"
            outcome = "done"
        self._spool.remove("inputs", instance.digest)
        return outcome

    def _query(self, rule: Rule) -> dict[str, str]:
        kinds = {kind for peer in self._peers(rule) for kind in peer.objects}
        return rule.query | {"objects": ",".join(sorted(kinds)), "segmentation": "binary"}

    def _labelmaps(self, data: bytes, rule: Rule, analysis: Analysis) -> tuple[MadeObject, ...]:
        """Return LABELMAP segmentations, if a peer wants them, with the BINARY ones as fallback."""
        binary = next((one for one in analysis.objects if one.result.kind == "seg"), None)
        if binary is None or not any(_wants_labelmap(peer) for peer in self._peers(rule)):
            return ()
        query = rule.query | {"objects": "seg", "segmentation": "labelmap"}
        again = self._client.analyse(data, query)
        fallback = binary.result.sop_instance_uid
        return tuple(
            MadeObject(replace(one.result, fallback=fallback), one.data)
            for one in again.objects
            if one.result.sop_class_uid == LABELMAP_SEGMENTATION  # masks that overlap are BINARY
        )

    def _recipients(
        self, rule: Rule, result: ResultObject, labelmaps: Sequence[MadeObject]
    ) -> tuple[str, ...]:
        """Return the names of the peers that get an object."""
        is_labelmap = result.sop_class_uid == LABELMAP_SEGMENTATION
        return tuple(
            peer.name
            for peer in self._peers(rule)
            if result.kind in peer.objects
            and (not labelmaps or result.kind != "seg" or is_labelmap == _wants_labelmap(peer))
        )

    def _peers(self, rule: Rule) -> list[DimsePeer | StowPeer]:
        return [peer for peer in self._configuration.peers if peer.name in rule.peers]

    def _wait(self, instance: QueuedInstance, reason: str) -> None:
        """Try an instance again later, and leave the service alone until then."""
        with self._lock:
            self._waits += 1
            delay = delay_s(_BACK_OFF, self._waits)
            self._not_before = time.time() + delay
        if self._waits == 1:
            logger.warning("the service cannot answer", extra={"fields": {"reason": reason}})
        self._journal.retry(instance.number, time.time() + delay, reason, counted=False)

    def _count_failure(self, instance: QueuedInstance, reason: str) -> str:
        """Try an instance again later, unless that was the last attempt."""
        failures = instance.attempts + 1
        if failures >= self._configuration.service.attempts:
            return self._give_up(instance, reason)
        due = time.time() + delay_s(_BACK_OFF, failures)
        self._journal.retry(instance.number, due, reason, counted=True)
        return "fails"

    def _give_up(self, instance: QueuedInstance, reason: str) -> str:
        self._spool.bury("inputs", instance.digest, SERVICE, instance.number)
        self._journal.bury(instance.number, reason)
        fields = {"instance": instance.number, "reason": reason}
        logger.error("an instance was given up", extra={"fields": fields})
        return "dead"


def _wants_labelmap(peer: DimsePeer | StowPeer) -> bool:
    return peer.labelmap and "seg" in peer.objects
