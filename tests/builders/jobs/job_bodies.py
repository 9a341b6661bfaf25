"""Bodies of jobs as clients and PACS send them: zip files, forms, DICOM studies."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from tests.builders.files import sample_files

ZIP = {"content-type": "application/zip"}


def zip_file(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Return a zip file; names may be repeated, and a name that ends with `/` is a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def related(
    parts: Sequence[bytes], kind: str = "application/dicom"
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a DICOM study as STOW-RS sends it."""
    head = f"\r\n--study\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = b"".join(head + part for part in parts) + b"\r\n--study--\r\n"
    return body, {"content-type": 'multipart/related; type="application/dicom"; boundary=study'}


def form(
    files: Iterable[tuple[str, bytes]], phrases: Iterable[str] = (), boundary: str = "form"
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a form with files and phrases."""
    lines = []
    for name, data in files:
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        lines.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data)
    for phrase in phrases:
        head = 'Content-Disposition: form-data; name="phrase"'
        lines.append(f"--{boundary}\r\n{head}\r\n\r\n{phrase}".encode())
    body = b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


def radiograph(number: int = 0) -> bytes:
    """Return a small DICOM file, a different one for each number."""
    box = (4 + number % 8, 4, 24, 24)
    uid = f"1.2.826.0.1.3680043.8.498.{number + 1}"
    return sample_files.dicom_file(sample_files.bright_rectangle(40, 32, box), SOPInstanceUID=uid)


def pacs_export(radiographs: Sequence[bytes]) -> bytes:
    """Return the zip file of a PACS export: folders, files without suffix, a DICOMDIR, a viewer."""
    directory = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
    files = [("DICOM/", b""), ("DICOMDIR", directory), ("VIEWER/run.exe", b"MZ")]
    files += [
        (f"DICOM/PAT0/ST0/SE{number}/IM{number:06d}", data)
        for number, data in enumerate(radiographs)
    ]
    files += [("__MACOSX/DICOM/._IM000000", b"\0\5\x16\7"), ("README.TXT", b"read me")]
    return zip_file(files)
