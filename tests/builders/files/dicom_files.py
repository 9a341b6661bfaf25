"""DICOM files in memory: a plain frontal chest radiograph, and changes to it."""

import warnings
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import config, uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence

SOP_INSTANCE_UID = "1.2.826.0.1.3680043.8.498.1"
PATIENT = "Doe^Jane"


def put(dataset: Dataset, keyword: str, value: Any, vr: str | None = None) -> None:
    """Set an element without pydicom's validation, or delete it with None."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    if value is None:
        dataset.pop(tag, None)
        return
    vr = vr or dictionary_VR(tag)
    dataset[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)


def item(**attributes: Any) -> Dataset:
    """Return one sequence item."""
    made = Dataset()
    for keyword, value in attributes.items():
        put(made, keyword, value)
    return made


def lut(entries: NDArray[np.uint16], first: int, bits: int, *, vr: str = "US") -> Sequence:
    """Return a Modality or VOI LUT Sequence."""
    made = Dataset()
    put(made, "LUTDescriptor", [len(entries) % 2**16, first, bits], "SS" if first < 0 else vr)
    put(made, "LUTData", entries.astype("<u2").tobytes(), "OW")
    return Sequence([made])


def dataset(stored: NDArray[Any], **attributes: Any) -> Dataset:
    """Return the data set of a radiograph with these stored values, without its pixel data."""
    made = Dataset()
    bits = stored.dtype.itemsize * 8
    base: dict[str, Any] = {
        "SOPClassUID": uid.ComputedRadiographyImageStorage,
        "SOPInstanceUID": SOP_INSTANCE_UID,
        "Modality": "CR",
        "PatientName": PATIENT,
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": attributes.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    for keyword, value in (base | attributes).items():
        put(made, keyword, value)
    return made


def write(
    made: Dataset,
    pixel_data: bytes | None,
    transfer_syntax: str = uid.ExplicitVRLittleEndian,
    *,
    vr: str = "OW",
) -> bytes:
    """Return a DICOM file; pixel data are encapsulated if the transfer syntax requires it."""
    syntax = uid.UID(transfer_syntax)
    if pixel_data is not None:
        packed = encapsulate([pixel_data]) if syntax.is_encapsulated else pixel_data
        put(made, "PixelData", packed + b"\0" * (len(packed) % 2), vr)
        made["PixelData"].is_undefined_length = syntax.is_encapsulated
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.UID(SOP_INSTANCE_UID)
    meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    made.file_meta = meta
    made.preamble = b"\0" * 128
    with warnings.catch_warnings():  # some elements are invalid on purpose
        warnings.simplefilter("ignore")
        dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def dicom(
    stored: NDArray[Any], transfer_syntax: str = uid.ExplicitVRLittleEndian, /, **attributes: Any
) -> bytes:
    """Return an uncompressed file with these stored values."""
    syntax = uid.UID(transfer_syntax)
    order: Literal["<", ">"] = "<" if syntax.is_little_endian else ">"
    pixel_data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    vr = "OB" if stored.dtype.itemsize == 1 else "OW"
    return write(dataset(stored, **attributes), pixel_data, transfer_syntax, vr=vr)


def encoded(
    codestream: bytes | bytearray,
    like: NDArray[Any],
    transfer_syntax: str,
    /,
    **attributes: Any,
) -> bytes:
    """Return a file whose only frame is this codestream."""
    return write(dataset(like, **attributes), bytes(codestream), transfer_syntax, vr="OB")


def ramp(rows: int = 48, columns: int = 64, top: int = 4095) -> NDArray[np.uint16]:
    """Return a smooth image that uses every value from 0 to `top` about equally often."""
    values = np.linspace(0, top, rows * columns).round()
    return values.reshape(rows, columns).astype(np.uint16)


def codes(warnings: tuple[str, ...]) -> list[str]:
    """Return the codes of warnings of the form `code: message`."""
    return [warning.split(": ")[0] for warning in warnings]
