"""Client of one UPS-RS worklist. Used on one event loop.

    GET  /workitems?...              search          POST /workitems/UID?TRANSACTION   update
    GET  /workitems/UID              retrieve        PUT  /workitems/UID/state         change state
    POST /workitems/UID/subscribers/AE               subscribe

Answers are bounded in bytes and time as they arrive. Nothing is followed: a redirect, a compressed
answer and one of another media type are failures. Proxies of the environment are not used.

Source: PS3.18 chapter 11 (Worklist Service), PS3.4 annex CC (Unified Procedure Step).
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from service.gateway.configuration import Worklist, read_secret
from service.gateway.errors import (
    InvalidWorkitem,
    WorkitemConflict,
    WorkitemGone,
    WorklistRefuses,
    WorklistUnreachable,
)
from service.gateway.sending.dimse_transport import client_context
from service.gateway.worklist.dicom_json import CODE_VALUE, DataSet, element
from service.gateway.worklist.workitem import (
    PROCEDURE,
    SCHEDULED,
    STATE,
    STATION,
    UID,
)

_JSON = "application/dicom+json"
_MEDIA_TYPES = (_JSON, "application/json")
_TRANSACTION = "00081195"
_MAX_SEARCH_BYTES = 4 * 1024 * 1024
_MAX_WORKITEM_BYTES = 1024 * 1024
_MAX_ANSWER_BYTES = 64 * 1024
_GONE = (httpx.codes.NOT_FOUND, httpx.codes.GONE)
_WAITS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.REQUEST_TIMEOUT, 429)
"""Statuses for which the set-up or the load is the cause, and not the workitem."""
_PAGE = 100


class WorklistClient:
    """Asks one worklist.

    Args:
        worklist: address, token, certificates, limits.
        ae_title: AE title of the gateway.
    """

    def __init__(self, worklist: Worklist, ae_title: str) -> None:
        """Read token and certificates; nothing is connected yet.

        Raises:
            InvalidConfiguration: a file cannot be used.
        """
        headers = {"accept": _JSON, "accept-encoding": "identity"}
        token = read_secret(worklist.token_file)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        tls = worklist.tls
        context = ssl.create_default_context() if tls is None else client_context(tls)
        self._url = worklist.url.rstrip("/")
        self._worklist = worklist
        self._ae_title = ae_title
        self._client = httpx.AsyncClient(
            headers=headers,
            verify=context,
            timeout=worklist.timeout_s,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def search(self, page: int) -> tuple[list[Any], bool]:
        """Return a page of the scheduled workitems of the station, and whether there may be more.

        The query has the keys only that every server supports; the others are compared here.

        Raises:
            WorklistUnreachable, WorklistRefuses: there is no such answer.
            InvalidWorkitem: the answer is not a list in the DICOM JSON Model.
        """
        station = f"{STATION}.{CODE_VALUE}"
        query = {
            STATE: SCHEDULED,
            station: self._worklist.station.value,
            "includefield": [UID, STATION, PROCEDURE],
            "limit": _PAGE,
            "offset": page * _PAGE,
        }
        answer = await self._ask("GET", "/workitems", _MAX_SEARCH_BYTES, params=query)
        rows = _parsed(answer) if answer.content else []
        if not isinstance(rows, list):
            raise InvalidWorkitem("not_a_list")
        return rows, len(rows) >= _PAGE or answer.status_code == httpx.codes.PARTIAL_CONTENT

    async def retrieve(self, uid: str) -> DataSet:
        """Return a workitem.

        Raises:
            WorkitemGone, WorklistUnreachable, WorklistRefuses: there is no such answer.
            InvalidWorkitem: the answer is no data set in the DICOM JSON Model.
        """
        answer = await self._ask("GET", f"/workitems/{uid}", _MAX_WORKITEM_BYTES)
        found = _parsed(answer)
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if not isinstance(found, dict):
            raise InvalidWorkitem("no_data_set")
        return found

    async def change_state(self, uid: str, transaction: str, state: str) -> None:
        """Change the state of a workitem; a state that it has already is a success.

        Raises:
            WorkitemConflict: its state, or the owner of its claim, does not allow it.
            WorkitemGone, WorklistUnreachable, WorklistRefuses: it was not changed, or not surely.
        """
        suffix = f"/{self._ae_title}" if self._worklist.requester_in_path else ""
        body = {_TRANSACTION: element("UI", transaction), STATE: element("CS", state)}
        path = f"/workitems/{uid}/state{suffix}"
        await self._ask("PUT", path, _MAX_ANSWER_BYTES, body=body)

    async def update(self, uid: str, transaction: str, changes: DataSet) -> None:
        """Change attributes of a workitem that is ours.

        Raises:
            WorkitemConflict: it is not, or no longer, ours.
            WorkitemGone, WorklistUnreachable, WorklistRefuses: it was not changed, or not surely.
        """
        body = {_TRANSACTION: element("UI", transaction), **changes}
        path = f"/workitems/{uid}?{transaction}"
        await self._ask("POST", path, _MAX_ANSWER_BYTES, body=body)

    async def subscribe(self, uid: str) -> str | None:
        """Subscribe to the events of a workitem; return the address of the channel, if it is named.

        Raises:
            WorkitemConflict, WorkitemGone, WorklistUnreachable, WorklistRefuses: it was refused.
        """
        path = f"/workitems/{uid}/subscribers/{self._ae_title}"
        answer = await self._ask("POST", path, _MAX_ANSWER_BYTES)
        named: str | None = answer.headers.get("content-location", answer.headers.get("location"))
        return named

    async def _ask(
        self,
        method: str,
        path: str,
        max_bytes: int,
        body: DataSet | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Return a complete answer that is a success.

        Raises:
            WorkitemConflict, WorkitemGone, WorklistUnreachable, WorklistRefuses: there is none.
        """
        headers = {} if body is None else {"content-type": _JSON}
        content = None if body is None else json.dumps([body]).encode()
        try:
            async with (
                asyncio.timeout(self._worklist.timeout_s),
                self._client.stream(
                    method, self._url + path, params=params, headers=headers, content=content
                ) as response,
            ):
                _check(response)
                received = await _bounded(response, max_bytes)
        except TimeoutError:
            raise WorklistUnreachable("no_answer_in_time") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError):
            raise WorklistUnreachable("no_answer") from None
        return httpx.Response(response.status_code, headers=response.headers, content=received)


def _check(response: httpx.Response) -> None:
    """Refuse an answer that is no success, or encoded so that its size is not known."""
    status = response.status_code
    if status in _GONE:
        raise WorkitemGone(f"http_{status}")
    if status == httpx.codes.CONFLICT:
        raise WorkitemConflict("http_409")
    if not response.is_success:
        if 400 <= status < 500 and status not in _WAITS:
            raise WorklistRefuses(f"http_{status}")
        raise WorklistUnreachable(f"http_{status}")  # a redirect is not followed
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise WorklistUnreachable("compressed_answer")


async def _bounded(response: httpx.Response, max_bytes: int) -> bytes:
    """Return the body of an answer as it is received, up to a limit."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise WorklistUnreachable("answer_too_large")
    return bytes(body)


def _parsed(answer: httpx.Response) -> object:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise InvalidWorkitem("media_type")
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise InvalidWorkitem("malformed_json") from None
