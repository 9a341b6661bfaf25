"""Client of the configured DICOMweb servers.

    Reference --QIDO-RS--> instances --WADO-RS--> files         results --STOW-RS--> their study

Answers are bounded in bytes and time as they arrive. Nothing is followed: a redirect, a compressed
answer and an answer of another media type are failures. Proxies of the environment are not used.
Messages name the server and the kind of failure, never an identifier of a patient or study.

Source: DICOM PS3.18 sections 10.4 (WADO-RS), 10.5 (STOW-RS) and 10.6 (QIDO-RS).
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from typing import Annotated, Any

import httpx
from pydantic import FailFast, TypeAdapter, ValidationError
from pydicom import uid

from radiograph.errors import InputTooLarge
from service.dicomweb import multipart_related
from service.dicomweb.references import Reference
from service.dicomweb.servers import Server, Servers, read_secret
from service.errors import ArchiveUnavailable, InstanceNotFound, InvalidSettings

_MAX_LIST_BYTES = 32 * 1024 * 1024
_TOKENS_PER_ROW, _FEWEST_ROWS = 256, 1000
"""Braces, brackets and commas of a list for each instance that was asked for, and for how many at
least. Parsed, 32 MB of empty objects would take a gigabyte."""
_MAX_STORED_BYTES = 1024 * 1024
"""Answer to a Store Transaction, which has a few lines for each file."""
_MAX_HEADER_BYTES = 64 * 1024
"""Boundaries and headers around one instance."""

_SERIES, _INSTANCE = "0020000E", "00080018"
_SOP_CLASS, _MODALITY, _MANUFACTURER = "00080016", "00080060", "00080070"
_IMAGE_MODALITIES = {"CR", "DX", "RG", "OT"}
_IMAGE_CLASSES = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
}
_FILE = f'{multipart_related.RELATED}; type="{multipart_related.DICOM}"; transfer-syntax=*'
_JSON = "application/dicom+json"
_MORE = "299"
"""Warning of a server that has more matches than it returned (PS3.18 section 10.6.3)."""

_Rows = list[dict[str, Any]]
# An answer that is no list of data sets may have millions of faults: the first is enough.
_ROWS: TypeAdapter[_Rows] = TypeAdapter(Annotated[_Rows, FailFast()])


class Archives:
    """The configured servers, as a client of theirs sees them. Used on one event loop.

    Args:
        servers: the servers that may be spoken to.
        timeout_s: seconds within which an answer must have arrived completely.
        max_bytes: largest radiograph.
        max_instances: most instances of one reference.
        own: Manufacturer of results of this service, which are no radiographs.
    """

    def __init__(
        self, servers: Servers, timeout_s: float, max_bytes: int, max_instances: int, own: str
    ) -> None:
        """Prepare a connection pool for each server; nothing is connected yet.

        Raises:
            InvalidSettings: the authorities or credentials of a server cannot be read.
        """
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, hence UIDs
        self.servers = servers
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._max_instances = max_instances
        self._own = own
        self._clients = {
            name: _client(name, server, timeout_s) for name, server in servers.by_name.items()
        }

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def retrieve(self, reference: Reference) -> bytes:
        """Return the file of one instance.

        Raises:
            ArchiveUnavailable: the server does not answer, or not with the instance.
            InstanceNotFound: the server has no such instance.
            InputTooLarge: the file is larger than the limit.
        """
        max_bytes = self._max_bytes + _MAX_HEADER_BYTES
        answer = await self._get(reference, reference.path, _FILE, max_bytes)
        content_type = answer.headers.get("content-type", "")
        try:
            found = multipart_related.parts(content_type, answer.content)
        except ValueError as error:
            raise _failed(reference, str(error)) from None
        if len(found) != 1:
            raise _failed(reference, f"{len(found)} instances came in place of one")
        return found[0]

    async def instances(self, reference: Reference) -> tuple[list[Reference], int]:
        """Return the radiographs of a study or series, or the instance itself.

        Returns:
            instances: references to what may be radiographs.
            skipped: number of instances that are none, by modality, SOP class or manufacturer.

        Raises:
            ArchiveUnavailable: the server does not answer, or not with a list of instances.
            InstanceNotFound: the server has no such study or series.
            InputTooLarge: there are more instances than the limit.
        """
        if reference.instance is not None:
            return [reference], 0
        rows = await self._rows(reference)
        if not rows:
            raise InstanceNotFound(f"the DICOMweb server `{reference.server}` has no such study")
        images = [row for row in rows if _may_be_radiograph(row, self._own)]
        try:
            found = [_instance(reference, row) for row in images]
        except ValidationError:
            raise _failed(reference, "the list of instances is not valid") from None
        return list(dict.fromkeys(found)), len(rows) - len(images)

    async def _rows(self, reference: Reference) -> _Rows:
        """Return all pages of the list of instances."""
        rows: _Rows = []
        while True:
            fields = f"includefield={_MODALITY}&includefield={_MANUFACTURER}"
            query = f"?{fields}&limit={self._max_instances + 1}&offset={len(rows)}"
            page, more = await self._page(reference, f"{reference.path}/instances{query}")
            rows += page
            if len(rows) > self._max_instances:
                raise InputTooLarge(f"a job may have at most {self._max_instances} files")
            if not page or not more:
                return rows

    async def _page(self, reference: Reference, path: str) -> tuple[_Rows, bool]:
        """Return a page of the list of instances, and whether another one follows."""
        answer = await self._get(reference, path, _JSON, _MAX_LIST_BYTES)
        try:
            rows = await asyncio.to_thread(self._parse, answer.content or b"[]")
        except ValueError:  # that of pydantic included
            raise _failed(reference, "the list of instances is not valid") from None
        return rows, answer.headers.get("warning", "").startswith(_MORE)

    def _parse(self, content: bytes) -> _Rows:
        """Return a list of instances. Blocks.

        Raises:
            ValueError: it is none, or has more in it than was asked for.
        """
        rows = max(self._max_instances, _FEWEST_ROWS)
        if sum(map(content.count, (b"{", b"[", b","))) > _TOKENS_PER_ROW * rows:
            raise ValueError("the list is too long")
        return _ROWS.validate_json(content)

    async def store(self, source: Reference, files: Mapping[str, bytes]) -> None:
        """Store files in the study of a reference (STOW-RS).

        Args:
            source: reference to what the files belong to.
            files: each file by its SOP Instance UID.

        Raises:
            ArchiveUnavailable: the server does not say of each file that it was stored.
            InstanceNotFound: the server does not have the study.
        """
        content_type, body = multipart_related.join(tuple(files.values()))
        path = Reference(server=source.server, study=source.study).path
        headers = {"accept": _JSON, "content-type": content_type}
        answer = await self._ask(source, "POST", path, headers, _MAX_STORED_BYTES, body)
        try:
            stored = _stored(json.loads(answer.content))
        except (ValueError, RecursionError):
            stored = set()  # such as an empty answer, with which a body may have been ignored
        if missing := files.keys() - stored:
            raise _failed(source, f"{len(missing)} of {len(files)} results were not stored")

    async def _get(
        self, reference: Reference, path: str, accept: str, max_bytes: int
    ) -> httpx.Response:
        """Return a complete answer that succeeded.

        Raises:
            ArchiveUnavailable, InstanceNotFound, InputTooLarge: as in `retrieve`.
        """
        return await self._ask(reference, "GET", path, {"accept": accept}, max_bytes)

    async def _ask(
        self,
        reference: Reference,
        method: str,
        path: str,
        headers: dict[str, str],
        max_bytes: int,
        body: bytes | None = None,
    ) -> httpx.Response:
        url = self.servers.by_name[reference.server].url + path
        headers = {**headers, "accept-encoding": "identity"}
        client = self._clients[reference.server]
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                client.stream(method, url, headers=headers, content=body) as response,
            ):
                _check(reference, response)
                received = await _bounded(response, max_bytes)
        except TimeoutError:
            raise _failed(reference, f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise _failed(reference, type(error).__name__) from None
        return httpx.Response(response.status_code, headers=response.headers, content=received)


def _client(name: str, server: Server, timeout_s: float) -> httpx.AsyncClient:
    """Return a client of one server, which follows nothing and trusts no environment.

    Raises:
        InvalidSettings: its authorities or its credentials cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        raise InvalidSettings(f"servers.{name}.ca_file: {error.strerror or error}") from None
    headers: dict[str, str] = {}
    auth: httpx.BasicAuth | None = None
    if server.token_file is not None:
        headers["authorization"] = f"Bearer {read_secret(server.token_file)}"
    if server.user is not None and server.password_file is not None:
        auth = httpx.BasicAuth(server.user, read_secret(server.password_file))
    return httpx.AsyncClient(
        verify=context,
        headers=headers,
        auth=auth,
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
    )


def _check(reference: Reference, response: httpx.Response) -> None:
    """Refuse an answer that is no success, or encoded so that its size is not known.

    Raises:
        InstanceNotFound, ArchiveUnavailable: it is.
    """
    if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise InstanceNotFound(f"the DICOMweb server `{reference.server}` has no such object")
    if not response.is_success:
        raise _failed(reference, f"status {response.status_code}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _failed(reference, "the answer is compressed, which was not asked for")


async def _bounded(response: httpx.Response, max_bytes: int) -> bytes:
    """Return the body of an answer as it is received, up to a limit.

    Raises:
        InputTooLarge: it is longer.
    """
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise InputTooLarge(f"a file may have at most {max_bytes} bytes")
    return bytes(body)


def _failed(reference: Reference, reason: str) -> ArchiveUnavailable:
    return ArchiveUnavailable(f"the DICOMweb server `{reference.server}`: {reason}")


def _stored(answer: object) -> set[str]:
    """Return the UIDs in the Referenced SOP Sequence of an answer (PS3.18 section 10.5.3)."""
    match answer:
        case {"00081199": {"Value": [*items]}}:
            return {uid for item in items if (uid := _value(item, "00081155")) is not None}
    return set()


def _instance(parent: Reference, row: dict[str, Any]) -> Reference:
    """Return the reference to an instance in the list of a study or series.

    Raises:
        ValidationError: its identifiers are missing or no UIDs.
    """
    return Reference.model_validate(
        {
            "server": parent.server,
            "study": parent.study,
            "series": parent.series or _value(row, _SERIES) or "",
            "instance": _value(row, _INSTANCE) or "",
        }
    )


def _may_be_radiograph(row: dict[str, Any], own: str) -> bool:
    """Return whether an instance may be a radiograph; one that says nothing may be."""
    if _value(row, _MANUFACTURER) == own:
        return False
    modality, sop_class = _value(row, _MODALITY), _value(row, _SOP_CLASS)
    if modality:
        return modality in _IMAGE_MODALITIES
    return sop_class is None or sop_class in _IMAGE_CLASSES


def _value(row: object, tag: str) -> str | None:
    """Return the first value of an attribute in the DICOM JSON model (PS3.18 annex F)."""
    match row.get(tag) if isinstance(row, dict) else None:
        case {"Value": [str(value), *_]}:
            return value
    return None
