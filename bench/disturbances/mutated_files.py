"""Mutated files: the service answers each with 200 or 4xx, never with 5xx, and stays alive.

    python -m bench.disturbances.mutated_files --count 20000
    python -m bench.disturbances.mutated_files --count 100000 --seconds 3600    what ends in an hour

A file that is refused for load (503) is sent again, as a client would.

Seed files are small radiographs in every format and transfer syntax that is read. Each file that is
sent is one of them with one to four random mutations: bytes flipped, zeroed, removed, inserted,
repeated or cut off. Half of the PNG files get the right checksums again, without which a reader
looks no further. `--seed` starts the random numbers, so that a run can be repeated. Files that
are answered with 5xx are written to `--keep`. The memory of the service, decoders included, is
sampled meanwhile.
"""

import argparse
import http.client
import math
import random
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.pixels.encoders.base import RLELosslessEncoder

from bench.servers.ours import TASKS, Ours
from bench.servers.process import Server, serving

ROWS, COLUMNS = 96, 80
CLIENTS = 4
_RETRIES, _RETRY_AFTER_S = 10, 1.0
_SAMPLED = 100
"""Files between two samples of the memory."""
Samples = NDArray[np.uint16]
_PNG, _PNG_SIGNATURE = "image/png", b"\x89PNG\r\n\x1a\n"
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def main(arguments: list[str] | None = None) -> int:
    """Send the files and print how they were answered; 1 if any answer was 5xx."""
    line = argparse.ArgumentParser(description="Send mutated files to the service.")
    line.add_argument("--count", type=int, default=2000, help="number of files")
    line.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    line.add_argument("--seconds", type=float, default=math.inf, help="time to send files")
    line.add_argument("--models-dir", type=Path, default=Path("models"), help="model repository")
    line.add_argument("--model", default="g2d-cxr", help="name of the model")
    line.add_argument("--keep", type=Path, help="folder for files that were answered with 5xx")
    options = line.parse_args(arguments)
    jobs = {"G2D_JOBS_DIR": "", "G2D_LOG_LEVEL": "error"}
    ours = Ours(options.models_dir, options.model, threads=1, settings=jobs)
    with serving(ours.start()) as (server, _):
        idle_mib = server.pss_mib()
        run = _Run(server, mutated(options.count, options.seed), options.keep)
        run.send_all(options.seconds)
        alive = _post(server.port, TASKS["classify"], "image/png", seeds()[0].data)
    for status, number in sorted(run.statuses.items()):
        sys.stdout.write(f"{status}: {number}\n")
    sys.stdout.write(f"{run.statuses.total()} files in {run.seconds:.0f} s\n")
    sys.stdout.write(f"memory: {idle_mib:.0f} MiB before, at most {run.most_mib:.0f} MiB\n")
    sys.stdout.write(f"an intact file afterwards: {alive}\n")
    return int(alive != 200 or any(status >= 500 for status in run.statuses))


@dataclass(frozen=True)
class Seed:
    """A small intact file and its media type."""

    media_type: str
    data: bytes


def seeds() -> list[Seed]:
    """Return intact radiographs in every format that is read."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    samples = ((y * 31 + x * 17) % 4096).astype(np.uint16)
    eight_bits = (samples >> 4).astype(np.uint8)
    found = [Seed(_PNG, _picture(image, "PNG")) for image in _pngs(samples, eight_bits)]
    gray = Image.fromarray(eight_bits)
    found += [Seed("image/jpeg", _picture(gray, "JPEG", progressive=p)) for p in (False, True)]
    found += [Seed("application/dicom", file) for file in _dicoms(samples, eight_bits)]
    return found


def mutated(count: int, seed: int) -> Iterator[Seed]:
    """Yield so many mutated files."""
    random_numbers, intact = random.Random(seed), seeds()  # noqa: S311 - repeatable, not secret
    for number in range(count):
        file = intact[number % len(intact)]
        data = file.data
        for _ in range(random_numbers.randint(1, 4)):
            data = random_numbers.choice(_MUTATIONS)(data, random_numbers)
        if file.media_type == _PNG and random_numbers.random() < 0.5:
            data = with_checksums(data)
        yield Seed(file.media_type, data)


def with_checksums(png: bytes) -> bytes:
    """Return a file with the right checksum in each chunk of PNG that is whole."""
    found, start = bytearray(png), len(_PNG_SIGNATURE)
    while start + 12 <= len(found):
        end = start + 8 + int.from_bytes(found[start : start + 4])
        if end + 4 > len(found):
            break
        found[end : end + 4] = zlib.crc32(found[start + 4 : end]).to_bytes(4)
        start = end + 4
    return bytes(found)


def _flip(data: bytes, r: random.Random) -> bytes:
    at = r.randrange(len(data) or 1)
    return data[:at] + bytes([r.randrange(256)]) + data[at + 1 :]


def _zero(data: bytes, r: random.Random) -> bytes:
    start, end = _span(data, r)
    return data[:start] + bytes([r.choice((0, 255))]) * (end - start) + data[end:]


def _remove(data: bytes, r: random.Random) -> bytes:
    start, end = _span(data, r)
    return data[:start] + data[end:]


def _insert(data: bytes, r: random.Random) -> bytes:
    start, end = _span(data, r)
    return data[:start] + r.randbytes(end - start) + data[start:]


def _repeat(data: bytes, r: random.Random) -> bytes:
    start, end = _span(data, r)
    return data[:end] + data[start:end] + data[end:]


def _cut(data: bytes, r: random.Random) -> bytes:
    return data[: r.randrange(len(data) + 1)]


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _flip,
    _flip,
    _zero,
    _remove,
    _insert,
    _repeat,
    _cut,
)


def _span(data: bytes, r: random.Random) -> tuple[int, int]:
    """Return the bounds of up to 64 bytes; half of them lie in the first 512, with the headers."""
    limit = min(len(data), 512) if r.random() < 0.5 else len(data)
    start = r.randrange(limit + 1)
    return start, min(len(data), start + r.randint(1, 64))


@dataclass
class _Run:
    """Files on their way to the service, sent by several clients.

    Attributes:
        statuses: number of answers by status; 599 for a connection that broke.
        seconds: time that sending took.
        most_mib: largest memory (PSS) of the service that was seen.
    """

    server: Server
    files: Iterator[Seed]
    keep: Path | None
    statuses: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    seconds: float = 0.0
    most_mib: float = 0.0
    _number: int = 0
    _end: float = math.inf

    def send_all(self, seconds: float) -> None:
        """Send the files, or those for which there is time."""
        started = time.monotonic()
        self._end = started + seconds
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - started

    def _client(self) -> None:
        paths = list(TASKS.values())
        while True:
            with self._lock:
                file = next(self.files, None) if time.monotonic() < self._end else None
                self._number += 1
                if self._number % _SAMPLED == 0:
                    self.most_mib = max(self.most_mib, self.server.pss_mib())
                path = paths[self._number % len(paths)]
            if file is None:
                return
            port = self.server.port
            status = _post(port, path, file.media_type, file.data)
            for _ in range(_RETRIES):
                if status != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
                time.sleep(_RETRY_AFTER_S)
                status = _post(port, path, file.media_type, file.data)
            with self._lock:
                self.statuses[status] += 1
                if status >= 500 and self.keep is not None:
                    self.keep.mkdir(parents=True, exist_ok=True)
                    (self.keep / f"{self._number}-{status}").write_bytes(file.data)


def _post(port: int, path: str, media_type: str, data: bytes) -> int:
    """Send one file and return the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, data, {"Content-Type": media_type})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 599
    finally:
        connection.close()


def _pngs(samples: Samples, eight_bits: NDArray[np.uint8]) -> Iterator[Image.Image]:
    gray = Image.fromarray(eight_bits)
    yield gray
    yield Image.fromarray(samples)
    yield Image.merge("RGB", (gray, gray, gray))
    yield Image.merge("LA", (gray, gray))
    yield gray.convert("P")


def _picture(image: Image.Image, kind: str, **options: bool) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _dicoms(samples: Samples, eight_bits: NDArray[np.uint8]) -> Iterator[bytes]:
    for syntax in _NATIVE:
        order = ">u2" if syntax == uid.ExplicitVRBigEndian else "<u2"
        yield _dicom(samples.astype(order).tobytes(), 12, syntax)
    jpeg, j2k = imagecodecs.jpeg8_encode, imagecodecs.jpeg2k_encode
    yield _dicom(jpeg(eight_bits, 95), 8, uid.JPEGBaseline8Bit)
    yield _dicom(jpeg(samples, 95, bitspersample=12), 12, uid.JPEGExtended12Bit)
    yield _dicom(jpeg(samples, lossless=True, bitspersample=12), 12, uid.JPEGLosslessSV1)
    yield _dicom(imagecodecs.jpegls_encode(samples), 12, uid.JPEGLSLossless)
    jpeg_2000 = j2k(samples, codecformat="j2k", reversible=True, bitspersample=12)
    yield _dicom(jpeg_2000, 12, uid.JPEG2000Lossless)
    yield _dicom(imagecodecs.htj2k_encode(samples, reversible=True), 12, uid.HTJ2KLossless)
    yield _dicom(_rle(samples), 12, uid.RLELossless)


def _rle(samples: Samples) -> bytes:
    codestream = RLELosslessEncoder.encode(
        samples.tobytes(),
        index=0,
        encoding_plugin="pydicom",
        rows=ROWS,
        columns=COLUMNS,
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=16,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
    )
    return bytes(codestream)


def _dicom(pixel_data: bytes | bytearray, bits: int, syntax: uid.UID) -> bytes:
    """Return a CR object with an orientation, a window, a rescale and a padding value."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.UID("1.2.826.0.1.3680043.8.498.3")
    made = Dataset()
    made.file_meta, made.preamble = meta, b"\0" * 128
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.Modality, made.ViewPosition, made.BodyPartExamined = "CR", "PA", "CHEST"
    made.PatientOrientation, made.PixelSpacing = ["R", "F"], [0.2, 0.2]
    made.PhotometricInterpretation, made.SamplesPerPixel = "MONOCHROME1", 1
    made.Rows, made.Columns, made.PixelRepresentation = ROWS, COLUMNS, 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 if bits == 8 else 16, bits, bits - 1
    made.WindowCenter, made.WindowWidth, made.PixelPaddingValue = 2**bits // 2, 2**bits, 0
    made.RescaleSlope, made.RescaleIntercept = 1, 0
    encapsulated = syntax.is_encapsulated
    data = encapsulate([bytes(pixel_data)]) if encapsulated else bytes(pixel_data)
    made.add_new(0x7FE00010, "OB" if encapsulated or bits == 8 else "OW", data)
    made["PixelData"].is_undefined_length = encapsulated
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
