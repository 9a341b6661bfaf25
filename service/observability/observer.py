"""Observer: the interface by which components report what is worth counting.

    uploads, decoding, batching, registry, jobs --> Observer --> metrics, or nothing

Calls come from any thread, return at once and never raise. No patient data is passed: no
identifiers, no phrases, no file names.
"""

from collections.abc import Mapping


class Observer:
    """Receives every event that is worth counting; each method does nothing unless overridden."""

    def arrived(self) -> None:
        """Report that a request arrived; `answered` follows. Probes and scrapes do not count."""

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        """Report that a request was answered.

        Args:
            route: template of the route.
            status: HTTP status of the answer.
            seconds: time from the first byte of the request to the answer.
            model: `name/version` of the version that answered, if any.
        """

    def problem(self, kind: str) -> None:
        """Report that an answer was a problem; `kind` is the last part of its `type`."""

    def wrong_token(self, reason: str, request_id: str) -> None:
        """Report that a request was refused for its token; `reason` is one word."""

    def api_key(self, change: str, key: str, owner: str) -> None:
        """Report that an API key was `created`, `changed` or `revoked`.

        Args:
            change: the change.
            key: identifier of the key.
            owner: client to whom the key belongs.
        """

    def stage(self, name: str, seconds: float) -> None:
        """Report the time of one stage of one request."""

    def batch(self, model: str, size: int, seconds: float) -> None:
        """Report one run of a trunk and its heads over `size` radiographs."""

    def queue(self, key: str, waiting: int) -> None:
        """Report how many items now wait under a key, which is a task or `job`."""

    def dropped(self, reason: str) -> None:
        """Report that an item left the queue unanswered: `deadline` or `client_gone`."""

    def shed(self, reason: str) -> None:
        """Report that a request was refused for load: `places`, `memory` or `queue`."""

    def connection_closed(self, reason: str) -> None:
        """Report that a limit closed a connection.

        Args:
            reason: `refused` or `displaced` where there were too many, `silent`,
                `slow_handshake`, `slow_head`, `long_head`, `not_http`, or `unfetched` for an
                answer that nobody reads.
        """

    def decoder_lost(self, reason: str) -> None:
        """Report that a decoder process was replaced: `crash`, `timeout` or `memory`."""

    def version(self, model: str, version: int, state: str) -> None:
        """Report the new state of a version: `loading`, `ready`, `failed`, `retired`, `freed`."""

    def version_refused(self, model: str, version: int, reason: str) -> None:
        """Report that a version did not load.

        Args:
            model: name of the model.
            version: number of the version.
            reason: `altered`, `unsigned`, `trial`, `unavailable` or `invalid`.
        """

    def variant_refused(self, model: str, variant: str) -> None:
        """Report that float32 answers, as a variant of a version gave other golden outputs here."""

    def alias(self, model: str, alias: str, version: int) -> None:
        """Report that a version now answers the requests for an alias."""

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        """Report the largest difference of each output of a shadow version from the answer."""

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        """Report `mean`, `std` and `out_of_domain` of one preprocessed radiograph."""

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        """Report the probability of each label for one radiograph."""

    def job(self, change: str, items: int) -> None:
        """Report that a job with this many items was `accepted`, `finished` or `deleted`."""

    def job_orphans(self, kind: str, count: int) -> None:
        """Report the number of each `body` without an open job, or open `job` without its body."""

    def job_item(self, outcome: str, seconds: float) -> None:
        """Report the time at work on an item that `succeeded`, `failed` or is `retried`."""

    def audit_entries(self, outcome: str, count: int) -> None:
        """Report that so many entries of the audit log were `written`, or are `lost`."""

    def models_store_failing(self, failing: bool) -> None:
        """Report whether the store of the models cannot be used at present."""

    def audit_failing(self, failing: bool) -> None:
        """Report whether the audit log cannot be written at present."""

    def audit_messages(self, outcome: str, count: int) -> None:
        """Report that so many DICOM Audit Messages were `sent`, or `dropped`."""


class NullObserver(Observer):
    """Observer that ignores every event."""


NULL_OBSERVER: Observer = NullObserver()
