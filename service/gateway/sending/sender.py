"""Sender: a thread that delivers results to one peer, until each is delivered or given up.

    outbox --due--> transport --outcomes--> delivered | fallback | retry with back-off | dead letter

A peer that cannot be reached is left alone for the delay of the back-off, whatever else is queued
for it. Each outcome is recorded before the next result is sent.
"""

import logging
import threading
import time
from collections.abc import Sequence

from service.audit.transfers import TransferAuditor
from service.gateway.backoff import delay_s
from service.gateway.configuration import DimsePeer, StowPeer
from service.gateway.sending.delivery import Kind, Outcome, PeerUnreachable, Transport
from service.gateway.sending.fallback import Fallbacks
from service.gateway.storage.outbox import Outbox
from service.gateway.storage.records import Delivery
from service.gateway.storage.spool import Spool
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.delivery")

_IDLE_S = 0.1
_BATCH = 64


class Sender:
    """Delivers to one peer.

    Args:
        peer: name, attempts and delays.
        transport: sends by the protocol of the peer.
        outbox, spool: deliveries and files.
        fallbacks: other forms of results.
        metrics: counts outcomes.
        transfers: writes the audit log, if there is one.
    """

    def __init__(
        self,
        peer: DimsePeer | StowPeer,
        transport: Transport,
        outbox: Outbox,
        spool: Spool,
        fallbacks: Fallbacks,
        metrics: GatewayMetrics,
        transfers: TransferAuditor,
    ) -> None:
        self._peer = peer
        self._transport = transport
        self._outbox = outbox
        self._spool = spool
        self._fallbacks = fallbacks
        self._metrics = metrics
        self._transfers = transfers
        self._failures = 0  # attempts in a row that did not reach the peer
        self._not_before = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender-{peer.name}", daemon=True)

    def start(self) -> None:
        """Start to deliver."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop after the batch that is under way; what is not recorded is sent again. Blocks."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                worked = self.send_due()
            except Exception:
                logger.exception("delivery failed")
                self._back_off()
                worked = False
            if not worked:
                self._stopping.wait(_IDLE_S)

    def send_due(self) -> bool:
        """Send what is due; return False if there is nothing to do now."""
        now = time.time()
        if self._transport.commits:
            self._outbox.resend_uncommitted(self._peer.name, now)
        if now < self._not_before:
            return False
        batch = self._outbox.due(self._peer.name, now, _BATCH)
        if not batch:
            return False
        left = {delivery.number: delivery for delivery in batch if self._is_sendable(delivery)}
        stored = []
        try:
            for delivery, outcome in self._transport.send(list(left.values())):
                del left[delivery.number]
                self._count(outcome.kind)
                if outcome.kind is Kind.SENT:
                    stored.append(delivery)
                self._record(delivery, outcome)
            self._failures = 0
        except PeerUnreachable as error:
            self._unreachable(list(left.values()), str(error))
        if stored and self._transport.commits:
            self._commit(stored)
        return True

    def _is_sendable(self, delivery: Delivery) -> bool:
        """Give up a result without a file, or one that was sent often but never committed to."""
        retry = self._peer.retry
        if not self._spool.has("results", delivery.result.digest):
            self._give_up(delivery, "file_missing")
        elif delivery.attempts >= retry.attempts or delivery.refusals >= retry.refusals:
            self._give_up(delivery, "not_committed")
        else:
            return True
        return False

    def _commit(self, stored: Sequence[Delivery]) -> None:
        try:
            self._transport.request_commitment(stored)
        except PeerUnreachable as error:
            self._unreachable([], str(error))

    def _unreachable(self, batch: Sequence[Delivery], reason: str) -> None:
        self._back_off()
        self._count("unreachable")
        fields = {"peer": self._peer.name, "reason": reason, "failures": self._failures}
        logger.warning("a peer cannot be reached", extra={"fields": fields})
        for delivery in batch:
            if delivery.attempts + 1 >= self._peer.retry.attempts:
                self._give_up(delivery, reason)
            else:
                self._outbox.retry(delivery.number, self._not_before, reason, refused=False)

    def _back_off(self) -> None:
        self._failures += 1
        self._not_before = time.time() + delay_s(self._peer.retry, self._failures)

    def _record(self, delivery: Delivery, outcome: Outcome) -> None:
        """Record an outcome: delivered, another form of the result, a retry, or the end."""
        if outcome.kind is Kind.SENT:
            self._transfers.sent(self._peer.name, delivery.result.sop_instance_uid, None)
            if not self._transport.commits:
                self._outbox.deliver([delivery.number])
            return
        if outcome.kind is Kind.UNSUPPORTED:
            other = self._fallbacks.of(delivery.result)
            if other is not None:
                self._outbox.replace(delivery.number, other)
                self._count("fallback")
                return
        retry = self._peer.retry
        refused = outcome.kind is not Kind.BUSY
        refusals = delivery.refusals + int(refused)
        if refusals >= retry.refusals or delivery.attempts + 1 >= retry.attempts:
            self._give_up(delivery, outcome.reason)
            return
        due = time.time() + delay_s(retry, delivery.attempts + 1)
        self._outbox.retry(delivery.number, due, outcome.reason, refused=refused)

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        self._spool.bury("results", delivery.result.digest, self._peer.name, delivery.number)
        self._outbox.bury(delivery.number, reason)
        self._transfers.sent(self._peer.name, delivery.result.sop_instance_uid, reason)
        self._count("dead")
        fields = {"peer": self._peer.name, "delivery": delivery.number, "reason": reason}
        logger.error("a result was given up", extra={"fields": fields})

    def _count(self, outcome: str) -> None:
        self._metrics.delivery(self._peer.name, outcome)
