"""Received instance: the facts of its header that rules and the journal need.

    Part 10 bytes --radiograph.readers--> attributes --> Instance

The header is parsed by the reader of radiographs, with its limits, and without decoding pixels.
"""

import hashlib
import struct
from dataclasses import dataclass

from radiograph.errors import MalformedInput
from radiograph.limits import Limits, as_malformed_input
from radiograph.readers import part10
from radiograph.readers.header.attributes import Attributes
from radiograph.readers.header.header_warnings import header_warnings
from radiograph.readers.header.patient_orientation import patient_orientation
from radiograph.readers.header.view import read_view
from service.dicom_results.kinds import MANUFACTURER

_META = 132
"""Offset of the file meta information: behind the preamble and the prefix."""
_GROUP_LENGTH = struct.Struct("<HH2sHI")
"""Tag, VR, length and value of File Meta Information Group Length (0002,0000)."""


@dataclass(frozen=True)
class Instance:
    """Facts about one received instance.

    Attributes:
        sop_instance_uid: SOP Instance UID (0008,0018).
        sop_class_uid: SOP Class UID (0008,0016).
        digest: SHA-256 of transfer syntax and data set; the file meta information, which every
            receiver writes anew, is left out.
        modality: Modality (0008,0060), or empty.
        view: View Position or its equivalent, or empty.
        body_part: Body Part Examined (0018,0015), or empty.
        made_here: the header says that this software made the object.
        warnings: codes of the warnings that the header gives cause for.
    """

    sop_instance_uid: str
    sop_class_uid: str
    digest: str
    modality: str
    view: str
    body_part: str
    made_here: bool
    warnings: tuple[str, ...]


def read_instance(data: bytes, limits: Limits) -> Instance:
    """Return the facts about a Part 10 file.

    Raises:
        InputError: the bytes are no DICOM file that can be read, or name no instance.
    """
    with as_malformed_input("the file cannot be read as DICOM"):
        header, meta = part10.parse(data, limits)
        view = read_view(header)
        sop_class = header.text("SOPClassUID") or meta.sop_class
        instance = header.uid("SOPInstanceUID")
        if instance is None:
            raise MalformedInput("the file has no well-formed SOP Instance UID")
        _, _, turned = patient_orientation(header, lateral=view.is_lateral)
        found = (*header_warnings(header, view, sop_class), *turned)
        return Instance(
            sop_instance_uid=instance,
            sop_class_uid=sop_class,
            digest=_digest(data, meta.transfer_syntax),
            modality=header.text("Modality"),
            view=view.position or "",
            body_part=header.text("BodyPartExamined"),
            made_here=_made_here(header),
            warnings=tuple(warning.partition(":")[0] for warning in found),
        )


def _made_here(header: Attributes) -> bool:
    return header.text("Manufacturer") == MANUFACTURER.upper()


def _digest(data: bytes, transfer_syntax: str) -> str:
    digest = hashlib.sha256(transfer_syntax.encode("ascii"))
    digest.update(memoryview(data)[_start_of_data_set(data) :])
    return digest.hexdigest()


def _start_of_data_set(data: bytes) -> int:
    """Return the offset behind the file meta information; 0 if it states no length."""
    if len(data) < _META + _GROUP_LENGTH.size:
        return 0
    group, element, vr, size, length = _GROUP_LENGTH.unpack_from(data, _META)
    if (group, element, vr, size) != (0x0002, 0x0000, b"UL", 4):
        return 0
    start: int = _META + _GROUP_LENGTH.size + length
    return start if start <= len(data) else 0
