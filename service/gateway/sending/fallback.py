"""Fallbacks: another form of a result for a peer that does not know its SOP class.

    Comprehensive 3D SR --> Comprehensive SR, with a UID derived from the first
    LABELMAP segmentation --> the BINARY one that the service made of the same radiograph

Our reports have 2D coordinates only, so that the content of both SR classes is the same
(PS3.3 sections A.35.3 and A.35.13).
"""

import hashlib
from dataclasses import replace
from io import BytesIO

from pydicom import config, dcmread
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage

from service.gateway.storage.outbox import Outbox
from service.gateway.storage.records import ResultObject
from service.gateway.storage.spool import Spool


class Fallbacks:
    """Finds or makes other forms of results.

    Args:
        outbox: knows the forms that the service made.
        spool: keeps the files.
    """

    def __init__(self, outbox: Outbox, spool: Spool) -> None:
        self._outbox = outbox
        self._spool = spool

    def of(self, result: ResultObject) -> ResultObject | None:
        """Return another form of a result, whose file is in the spool, or None."""
        if result.fallback is not None:
            return self._outbox.fallback(result)
        if result.sop_class_uid != Comprehensive3DSRStorage:
            return None
        instance = comprehensive_uid(result.sop_instance_uid)
        data = comprehensive(self._spool.read("results", result.digest), instance)
        digest = hashlib.sha256(data).hexdigest()
        self._spool.write("results", digest, data)
        return replace(
            result,
            sop_class_uid=str(ComprehensiveSRStorage),
            sop_instance_uid=instance,
            digest=digest,
        )


def comprehensive_uid(sop_instance_uid: str) -> str:
    """Return the UID of the Comprehensive SR that is made of a Comprehensive 3D SR."""
    digest = hashlib.sha256(f"comprehensive\0{sop_instance_uid}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def comprehensive(data: bytes, sop_instance_uid: str) -> bytes:
    """Return a Comprehensive 3D SR as a Comprehensive SR with that UID."""
    dataset = dcmread(BytesIO(data))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    instance = UID(sop_instance_uid, config.IGNORE)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
