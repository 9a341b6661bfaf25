"""Job by reference: a JSON body names what DICOMweb servers hold, and every instance is an item.

    JSON --names checked--> references --QIDO-RS--> instances --> spool file, a reference a line

The radiographs themselves are fetched later, by the worker.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from radiograph.errors import InputTooLarge, MalformedInput
from service.api.uploads.job_upload import JobUpload
from service.api.uploads.json_body import read_json
from service.dicom_results import kinds
from service.dicomweb.references import MEDIA_TYPE, Reference, ReferencedRadiographs
from service.errors import ArchiveUnavailable, NoDicomObject
from service.jobs.job import Contents, Piece
from service.jobs.storage.spool import Incoming
from service.jobs.thread_pool import JobThreads
from service.settings import Settings

if TYPE_CHECKING:
    from service.dicomweb.archives import Archives

_MAX_BODY_BYTES = 4 * 1024 * 1024
_OTHER_MODALITY = "other_modality"


async def receive(
    request: Request,
    incoming: Incoming,
    archives: "Archives",
    settings: Settings,
    threads: JobThreads,
) -> JobUpload:
    """Write a reference to each instance that the body names to disk.

    Raises:
        NoDicomObject: results are to be sent back, and the extra that makes them is missing.
        RequestValidationError: the body is not as the schema says, or names another server.
        InstanceNotFound: a server has no such study or series.
        ArchiveUnavailable: a server does not answer as it should.
        InputTooLarge: there are more instances than a job may have.
        MalformedInput: none of the instances can be a radiograph.
    """
    timeout_s = settings.limits.body_timeout_s
    asked = await read_json(request, ReferencedRadiographs, _MAX_BODY_BYTES, timeout_s)
    if asked.store and not kinds.is_installed():
        raise NoDicomObject(f"results are stored as DICOM objects: extra `{kinds.EXTRA}`")
    if len(asked.references) > settings.jobs.max_items:
        raise _too_many(settings.jobs.max_items)
    references = await threads.run(_references, asked, archives)
    try:
        async with asyncio.timeout(settings.jobs.body_timeout_s):
            instances, skipped = await _instances(references, archives, settings.jobs.max_items)
    except TimeoutError:
        raise ArchiveUnavailable("the DICOMweb servers take too long to list a job") from None
    if not instances:
        raise MalformedInput("the references lead to nothing that could be a radiograph")
    pieces = await threads.run(_write, incoming, instances)
    others = {_OTHER_MODALITY: skipped} if skipped else {}
    contents = Contents(pieces, asked.phrases, others, asked.store)
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
    return JobUpload(contents, digest)


def _references(asked: ReferencedRadiographs, archives: "Archives") -> list[Reference]:
    """Return the references of a body, all of them to configured servers. Blocks."""
    found = []
    for number, item in enumerate(asked.references):
        try:
            found.append(item if isinstance(item, Reference) else archives.servers.reference(item))
            archives.servers.check(found[-1], store=asked.store)
        except ValueError as error:
            place = ("body", "references", number)
            fault = {"type": "reference", "loc": place, "msg": str(error)}
            raise RequestValidationError([fault]) from None
    return found


async def _instances(
    references: Sequence[Reference], archives: "Archives", max_items: int
) -> tuple[list[Reference], int]:
    """Return every instance once, and the number of those that are no radiographs."""
    found: dict[Reference, None] = {}
    skipped = 0
    for reference in references:
        instances, others = await archives.instances(reference)
        found |= dict.fromkeys(instances)
        skipped += others
        if len(found) > max_items:
            raise _too_many(max_items)
    return list(found), skipped


def _too_many(max_items: int) -> InputTooLarge:
    return InputTooLarge(f"a job may have at most {max_items} files")


def _write(incoming: Incoming, instances: Sequence[Reference]) -> tuple[Piece, ...]:
    """Write the references, and return their places. Blocks."""
    pieces, start = [], 0
    for position, instance in enumerate(instances, 1):
        line = instance.model_dump_json().encode() + b"\n"
        incoming.write(line)
        size = len(line)
        pieces.append(Piece(position, start, size, size, False, None, MEDIA_TYPE))
        start += size
    return tuple(pieces)
