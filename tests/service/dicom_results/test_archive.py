"""Zip files of DICOM objects: the same bytes for the same objects, read back in order."""

import io
import zipfile

from service.dicom_results import archive
from service.dicom_results.kinds import EncodedObject, ObjectKind

OBJECTS = [
    EncodedObject(ObjectKind.SEG, "1", "2", "3", b"mask" * 5000),
    EncodedObject(ObjectKind.SC, "1", "2", "3", b""),
]


def test_objects_are_read_back_in_their_order() -> None:
    packed = archive.pack(OBJECTS)
    assert archive.unpack(packed) == [("seg.dcm", b"mask" * 5000), ("sc.dcm", b"")]
    assert len(packed) < 1000
    assert packed == archive.pack(OBJECTS)


def test_a_stream_is_a_valid_zip_file_of_all_its_pieces() -> None:
    stream = archive.ZipStream()
    pieces = [stream.add(f"{number}/seg.dcm", b"%d" % number) for number in range(3)]
    assert all(pieces)
    with zipfile.ZipFile(io.BytesIO(b"".join((*pieces, stream.end())))) as whole:
        assert whole.testzip() is None
        assert [whole.read(name) for name in whole.namelist()] == [b"0", b"1", b"2"]


def test_a_file_without_entries_is_a_valid_zip_file() -> None:
    assert archive.unpack(archive.pack([])) == []
