"""Client of the service: one radiograph -> its results as DICOM objects.

    POST /v1/analyze?...&objects=seg,sr   Accept: multipart/related; type="application/dicom"
    200 --> one part for each object      other statuses --> waits | fails | refuses

A status that a later attempt may change waits without a limit if the service, its load or its
set-up is the cause; it counts as a failure if the radiograph may be.
"""

import hashlib
import re
import ssl
from dataclasses import dataclass
from io import BytesIO

import httpx
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from radiograph.errors import MalformedForm
from service.api.uploads.header_options import parse_options
from service.api.uploads.multipart import parts
from service.gateway.configuration import Service, read_secret
from service.gateway.errors import (
    InvalidConfiguration,
    ServiceFails,
    ServiceRefuses,
    ServiceWaits,
)
from service.gateway.storage.records import LABELMAP_SEGMENTATION, ResultObject

ACCEPT = 'multipart/related; type="application/dicom"'
WARNINGS_HEADER = "g2d-warnings"
"""Header of an answer: codes of its warnings, separated by commas."""

_REFUSED = {400, 413, 415, 422}
"""The radiograph is at fault."""
_NO_OBJECT = "no-dicom-object"
"""Problem type of a result that no DICOM object can be made of; its status is 406."""
_FAILED = {500, 502, 504}
"""The radiograph may be at fault; every other status is that of the service or of its set-up."""
_PROBLEM = re.compile(r"[a-z-]{1,48}$")
_SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_KINDS = {
    LABELMAP_SEGMENTATION: "seg",
    GrayscaleSoftcopyPresentationStateStorage: "gsps",
    SecondaryCaptureImageStorage: "sc",
}


@dataclass(frozen=True)
class MadeObject:
    """One DICOM object and its file."""

    result: ResultObject
    data: bytes


@dataclass(frozen=True)
class Analysis:
    """Answer to one radiograph.

    Attributes:
        objects: its DICOM objects.
        warnings: codes of its warnings.
    """

    objects: tuple[MadeObject, ...]
    warnings: tuple[str, ...]


class ServiceClient:
    """Asks the service. Safe to call from several threads.

    Args:
        settings: address, key and time limit.
    """

    def __init__(self, settings: Service) -> None:
        """Read the key and the certificates.

        Raises:
            InvalidConfiguration: a file cannot be used.
        """
        token = read_secret(settings.token_file)
        headers = {"accept": ACCEPT, "content-type": "application/dicom"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise InvalidConfiguration(f"service.ca_file: {error.strerror}") from error
        self._client = httpx.Client(
            base_url=settings.url,
            headers=headers,
            timeout=settings.timeout_s,
            verify=context,
            trust_env=False,
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def is_ready(self) -> bool:
        """Return whether the service is ready."""
        try:
            return self._client.get("/health/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def analyse(self, data: bytes, query: dict[str, str]) -> Analysis:
        """Return the results of one radiograph.

        Args:
            data: the file of the radiograph.
            query: parameters of `POST /v1/analyze`.

        Raises:
            ServiceWaits: the service cannot answer at present.
            ServiceFails: the service failed at this radiograph, or gave an unusable answer.
            ServiceRefuses: the service refuses this radiograph.
        """
        try:
            response = self._client.post("/v1/analyze", params=query, content=data)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceWaits("unreachable") from error
        except httpx.HTTPError as error:
            raise ServiceFails("no_answer") from error
        if response.status_code != httpx.codes.OK:
            raise _failure(response)
        named = response.headers.get(WARNINGS_HEADER, "")
        codes = tuple(code.strip() for code in named.split(",") if code.strip())
        return Analysis(_objects(response), codes)


def _failure(response: httpx.Response) -> ServiceWaits | ServiceFails | ServiceRefuses:
    """Return the error for an answer that is not a success; its message is a problem type."""
    reason = f"{response.status_code}"
    try:
        found = _PROBLEM.search(str(response.json()["type"]))
        reason = reason if found is None else found[0]
    except (ValueError, RecursionError, KeyError, TypeError):
        pass
    if response.status_code in _REFUSED or reason == _NO_OBJECT:
        return ServiceRefuses(reason)
    return ServiceFails(reason) if response.status_code in _FAILED else ServiceWaits(reason)


def _objects(response: httpx.Response) -> tuple[MadeObject, ...]:
    media_type, options = parse_options(response.headers.get("content-type"))
    if media_type != "multipart/related":
        raise ServiceFails("not_dicom")
    try:
        found = tuple(
            _object(part.data) for part in parts(response.content, options.get(b"boundary", b""))
        )
    except (MalformedForm, InvalidDicomError, AttributeError, KeyError, ValueError) as error:
        raise ServiceFails("malformed_answer") from error
    if not found:
        raise ServiceFails("empty_answer")
    return found


def _object(data: bytes) -> MadeObject:
    """Return a part with the facts of its file meta information."""
    wanted = ["SOPClassUID", "SOPInstanceUID", "SegmentationType"]
    wanted += ["StudyInstanceUID", "SeriesInstanceUID"]
    header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=wanted)
    sop_class = header.SOPClassUID
    if sop_class == SegmentationStorage:
        kind = "heatmap" if header.get("SegmentationType") == "FRACTIONAL" else "seg"
    else:
        kind = "sr" if sop_class.startswith(_SR_CLASSES) else _KINDS[sop_class]
    result = ResultObject(
        kind=kind,
        sop_class_uid=str(sop_class),
        sop_instance_uid=str(header.SOPInstanceUID),
        transfer_syntax=str(header.file_meta.TransferSyntaxUID),
        digest=hashlib.sha256(data).hexdigest(),
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
    )
    return MadeObject(result, data)
