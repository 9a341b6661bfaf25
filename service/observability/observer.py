"""Events: what the parts of the service tell whoever watches them.

    intake, decoding, batching, versions --> Observer --> metrics, or nobody

Calls come from any thread, return at once and never raise. No patient data travels here: no
identifiers, no phrases, no file names.
"""

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Hears of everything that is worth counting."""

    def arrived(self) -> None:
        """A request came in; `answered` follows. Probes and scrapes are not told."""

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        """A request was answered; `route` is the template, `model` is `name/version`."""

    def problem(self, kind: str) -> None:
        """An answer was a problem of this kind: the end of its `type`."""

    def stage(self, name: str, seconds: float) -> None:
        """One stage of one request took so long."""

    def batch(self, model: str, size: int, seconds: float) -> None:
        """One run of a trunk and its heads over `size` radiographs."""

    def queue(self, key: str, waiting: int) -> None:
        """So many items now wait under a key (a task, or `job`)."""

    def dropped(self, reason: str) -> None:
        """An item left the queue without an answer: `deadline` or `client_gone`."""

    def shed(self, reason: str) -> None:
        """A request was refused for load: `places`, `memory` or `queue`."""

    def decoder_lost(self, reason: str) -> None:
        """A decoder process was replaced: `crash`, `timeout` or `memory`."""

    def version(self, model: str, version: int, state: str) -> None:
        """A version is now `loading`, `ready`, `failed`, `retired` or `freed`."""

    def alias(self, model: str, alias: str, version: int) -> None:
        """Requests for an alias are now answered by this version."""

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        """A shadow version answered too: largest difference by output."""

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        """Of one preprocessed radiograph: `mean`, `std`, `out_of_domain`."""

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        """Label -> probability of one radiograph."""

    def job(self, change: str, items: int) -> None:
        """A job of so many items was `accepted`, `finished` or `deleted`."""

    def job_item(self, outcome: str, seconds: float) -> None:
        """An item of a job `succeeded`, `failed` or is to be `retried`, after so long at work."""


class NullObserver:
    """An observer that does nothing."""

    def arrived(self) -> None:
        """Ignored."""

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        """Ignored."""

    def problem(self, kind: str) -> None:
        """Ignored."""

    def stage(self, name: str, seconds: float) -> None:
        """Ignored."""

    def batch(self, model: str, size: int, seconds: float) -> None:
        """Ignored."""

    def queue(self, key: str, waiting: int) -> None:
        """Ignored."""

    def dropped(self, reason: str) -> None:
        """Ignored."""

    def shed(self, reason: str) -> None:
        """Ignored."""

    def decoder_lost(self, reason: str) -> None:
        """Ignored."""

    def version(self, model: str, version: int, state: str) -> None:
        """Ignored."""

    def alias(self, model: str, alias: str, version: int) -> None:
        """Ignored."""

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        """Ignored."""

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        """Ignored."""

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        """Ignored."""

    def job(self, change: str, items: int) -> None:
        """Ignored."""

    def job_item(self, outcome: str, seconds: float) -> None:
        """Ignored."""


NULL_OBSERVER: Observer = NullObserver()
