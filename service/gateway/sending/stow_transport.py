"""STOW-RS to one peer.

    POST URL/studies, the results of one instance in one request
        Referenced SOP Sequence --> sent     Failed SOP Sequence, or in neither --> refused

Some servers answer a body that they did not understand with 200, so that only a result which the
answer lists counts as sent. Answers are bounded in bytes and time as they arrive.

Source: PS3.18 section 10.5 (Store Transaction), annex I (failure reasons).
"""

import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import httpx

from service.gateway.configuration import StowPeer, read_secret
from service.gateway.sending.delivery import Kind, Outcome, PeerUnreachable
from service.gateway.sending.dimse_transport import client_context
from service.gateway.storage.records import Delivery
from service.gateway.storage.spool import Spool

_REFERENCED, _FAILED = "00081199", "00081198"
"""Referenced SOP Sequence, Failed SOP Sequence."""
_INSTANCE, _REASON = "00081155", "00081197"
"""Referenced SOP Instance UID, Failure Reason."""
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_ANSWERED = {httpx.codes.OK, httpx.codes.ACCEPTED, httpx.codes.CONFLICT}
"""The body says which results were stored."""
_REFUSED = {400, 413, 415, 422}
_JSON = "application/dicom+json"
_MAX_ANSWER_BYTES = 1024 * 1024


class StowTransport:
    """Sends to one peer by STOW-RS.

    Args:
        peer: the peer.
        spool: files of the results.
    """

    commits = False

    def __init__(self, peer: StowPeer, spool: Spool) -> None:
        """Read token and certificates.

        Raises:
            InvalidConfiguration: a file cannot be used.
        """
        self._spool = spool
        token = read_secret(peer.token_file)
        headers = {"accept": _JSON, "accept-encoding": "identity"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        context = ssl.create_default_context() if peer.tls is None else client_context(peer.tls)
        self._client = httpx.Client(
            headers=headers, timeout=peer.timeout_s, verify=context, trust_env=False
        )
        self._timeout_s = peer.timeout_s
        self._url = f"{peer.url.rstrip('/')}/studies"

    def send(self, batch: Sequence[Delivery]) -> Iterator[tuple[Delivery, Outcome]]:
        """Send results, those of one instance in one request; yield the outcome of each.

        Raises:
            PeerUnreachable: the peer does not answer, or answers that it cannot serve now.
        """
        for _, group in groupby(batch, lambda delivery: delivery.instance):
            together = list(group)
            answer = self._post(together)
            for delivery in together:
                yield delivery, _outcome(delivery, answer)

    def request_commitment(self, sent: Sequence[Delivery]) -> None:
        """Do nothing: an answer by STOW-RS is final."""

    def _post(self, together: Sequence[Delivery]) -> Mapping[str, object]:
        """Return the data set of the answer; empty if the peer refuses the request as such."""
        boundary = secrets.token_hex(24)
        files = [self._spool.read("results", one.result.digest) for one in together]
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        try:
            with self._client.stream(
                "POST",
                self._url,
                content=_body(files, boundary),
                headers={"content-type": kind},
            ) as response:
                if response.status_code in _REFUSED:
                    return {}
                if response.status_code not in _ANSWERED:
                    raise PeerUnreachable(f"http_{response.status_code}")
                content = self._bounded(response)
        except httpx.HTTPError as error:
            raise PeerUnreachable("no_answer") from error
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _bounded(self, response: httpx.Response) -> bytes:
        """Return the body of an answer.

        Raises:
            PeerUnreachable: it is too long, or does not arrive in time.
        """
        body = bytearray()
        due = time.monotonic() + self._timeout_s
        for chunk in response.iter_raw():  # each within the timeout of the client
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise PeerUnreachable("answer_too_large")
            if time.monotonic() > due:
                raise PeerUnreachable("no_answer_in_time")
        return bytes(body)


def _body(files: Sequence[bytes], boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
    pieces = [piece for file in files for piece in (head, file, b"\r\n")]
    return b"".join((*pieces, f"--{boundary}--\r\n".encode("ascii")))


def _outcome(delivery: Delivery, answer: Mapping[str, object]) -> Outcome:
    instance = delivery.result.sop_instance_uid
    if any(_value(item, _INSTANCE) == instance for item in _items(answer, _REFERENCED)):
        return Outcome(Kind.SENT)
    for item in _items(answer, _FAILED):
        if _value(item, _INSTANCE) == instance:
            reason = _value(item, _REASON)
            if reason == _SOP_CLASS_NOT_SUPPORTED:
                return Outcome(Kind.UNSUPPORTED, "0122")
            text = f"{reason:04X}" if isinstance(reason, int) else "failed"
            return Outcome(Kind.REFUSED, text)
    return Outcome(Kind.REFUSED, "not_listed")


def _items(data_set: object, tag: str) -> list[object]:
    """Return the items of a sequence, or values of an element, in the DICOM JSON model."""
    element = data_set.get(tag) if isinstance(data_set, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _value(item: object, tag: str) -> object:
    return next(iter(_items(item, tag)), None)
