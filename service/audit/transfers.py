"""Audit of transfers: instances that the gateway received, and results that it sent.

    gateway --received | sent--> entry with the pseudonym of the instance --> trail

With `refuse`, nothing is received while the log cannot be written.
"""

from service.audit.chain.entry import Act, Entry
from service.audit.chain.trail import AuditTrail
from service.audit.pseudonyms import Pseudonyms

_OK, _REFUSED, _FAILED = 200, 409, 502


class TransferAuditor:
    """Writes entries about transfers from any thread; without a trail it does nothing.

    Args:
        trail: writes the entries, or None if nothing is audited.
        pseudonyms: pseudonyms of SOP Instance UIDs.
    """

    def __init__(
        self, trail: AuditTrail | None = None, pseudonyms: Pseudonyms | None = None
    ) -> None:
        self._trail = trail
        self._pseudonyms = pseudonyms

    def start(self) -> None:
        """Start to write."""
        if self._trail is not None:
            self._trail.start()

    def close(self) -> None:
        """Write what is queued. Blocks."""
        if self._trail is not None:
            self._trail.close()

    def check(self) -> None:
        """Refuse an instance early whose entry could not be written.

        Raises:
            AuditUnavailable: the log cannot be written, and nothing is received without it.
        """
        if self._trail is not None:
            self._trail.check()

    def received(self, caller: str, instance: str | None, refusal: str | None) -> None:
        """Record that an instance was received.

        Args:
            caller: `ae:` and the calling AE title, or `stow`.
            instance: SOP Instance UID, or None if the file has none.
            refusal: reason of a refusal as one word, or None.
        """
        status = _OK if refusal is None else _REFUSED
        self._record(Act.INSTANCE_RECEIVED, caller, instance, status, refusal)

    def sent(self, peer: str, instance: str, failure: str | None) -> None:
        """Record that a result was delivered to a peer, or given up.

        Args:
            peer: name of the peer in the configuration.
            instance: SOP Instance UID of the result.
            failure: reason for which it was given up, or None.
        """
        status = _OK if failure is None else _FAILED
        self._record(Act.RESULT_SENT, f"peer:{peer}", instance, status, failure)

    def _record(
        self, act: Act, principal: str, instance: str | None, status: int, problem: str | None
    ) -> None:
        if self._trail is None or self._pseudonyms is None:
            return
        pseudonym = self._pseudonyms.of(instance)
        self._trail.record(
            Entry(act, principal, instance=pseudonym, status=status, problem=problem)
        )
