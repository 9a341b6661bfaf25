"""Delivery: outcomes of sending one result, and what a protocol has to offer for it.

transport.send(deliveries) --> Outcome of each, as soon as it is known
                           '-> PeerUnreachable: none of the remaining ones was sent
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.gateway.errors import GatewayError
from service.gateway.storage.records import Delivery


class Kind(StrEnum):
    """Kinds of outcomes, as metrics name them."""

    SENT = "sent"
    BUSY = "busy"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Outcome:
    """Outcome of sending one result.

    Attributes:
        kind: the peer has it, cannot take it now, refuses it, or does not know its SOP class.
        reason: status or word for the journal.
    """

    kind: Kind
    reason: str = ""


class PeerUnreachable(GatewayError):
    """A peer cannot be reached, or the connection to it was lost."""


class Transport(Protocol):
    """Sends results to one peer.

    Attributes:
        commits: a result is delivered only once the peer has committed to it.
    """

    commits: bool

    def send(self, batch: Sequence[Delivery]) -> Iterator[tuple[Delivery, Outcome]]:
        """Send results; yield the outcome of each once it is known.

        Raises:
            PeerUnreachable: those without an outcome were not sent, or nothing is known of them.
        """

    def request_commitment(self, sent: Sequence[Delivery]) -> None:
        """Ask the peer to commit to results that it has.

        Raises:
            PeerUnreachable: the peer was not asked; they are sent again once the time is over.
        """
