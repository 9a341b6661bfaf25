"""Source of the items of a job: its body on disk, or a DICOMweb server that the body refers to.

Results can go back to that server, and to no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiograph.readers.header.attributes import well_formed_uid
from radiograph.readers.read import DICOM
from service.dicom_results.kinds import EncodedObject
from service.dicomweb.references import MEDIA_TYPE, Reference
from service.errors import ArchiveUnavailable
from service.jobs.job import Claim
from service.jobs.storage.spool import Spool
from service.jobs.thread_pool import JobThreads

if TYPE_CHECKING:
    from service.dicomweb.archives import Archives


@dataclass(frozen=True)
class ItemFile:
    """The file of one item.

    Attributes:
        data: its bytes.
        media_type: one of `radiograph.readers.read.MEDIA_TYPES`, or `UNKNOWN`.
        reference: where it was fetched from, or None if it was sent with the job.
    """

    data: bytes
    media_type: str
    reference: Reference | None = None

    def check_instance(self, sop_instance_uid: str | None) -> None:
        """Refuse a file that is not the instance that was asked for.

        Raises:
            ArchiveUnavailable: it is another one.
        """
        if self.reference is None or self.reference.instance is None:
            return
        if sop_instance_uid != well_formed_uid(self.reference.instance):
            raise ArchiveUnavailable(
                f"the DICOMweb server `{self.reference.server}`: another instance came"
            )


class ItemSource:
    """Reads the files of items.

    Args:
        spool: bodies of the jobs.
        archives: the configured DICOMweb servers, or None if there are none.
        threads: threads for blocking calls.
        max_bytes: largest file.
    """

    def __init__(
        self, spool: Spool, archives: "Archives | None", threads: JobThreads, max_bytes: int
    ) -> None:
        self._spool = spool
        self._archives = archives
        self._threads = threads
        self._max_bytes = max_bytes

    async def send_back(self, file: ItemFile, objects: Sequence[EncodedObject]) -> None:
        """Send results to the server that a file comes from, completely.

        Raises:
            ArchiveUnavailable: the server did not store all of them.
        """
        if self._archives is not None and file.reference is not None and objects:
            files = {item.sop_instance_uid: item.data for item in objects}
            await self._archives.store(file.reference, files)

    async def read(self, claim: Claim) -> ItemFile:
        """Return the file of an item.

        Raises:
            JobsUnavailable: the body of the job cannot be read.
            ArchiveUnavailable: the server does not answer as it should, or is configured no more.
            InputError: the file is too large, damaged or not there.
        """
        piece = claim.piece
        data = await self._threads.run(self._spool.read, claim.job, piece, self._max_bytes)
        if piece.media_type != MEDIA_TYPE:
            return ItemFile(data, piece.media_type)
        reference = Reference.model_validate_json(data)
        if self._archives is None or reference.server not in self._archives.servers.by_name:
            raise ArchiveUnavailable(
                f"the DICOMweb server `{reference.server}` is not configured any more"
            )
        return ItemFile(await self._archives.retrieve(reference), DICOM, reference)
