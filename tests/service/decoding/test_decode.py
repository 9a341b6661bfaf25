"""A decoder process decodes as this process does, for every kind of file."""

import numpy as np
import psutil
import pytest

from radiograph.errors import InputError
from radiograph.limits import Limits
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import JPEG, PNG, UNKNOWN
from service.deadline import Deadline
from service.decoding.decode import DecodeRequest, decode
from service.decoding.pool import DecoderPool
from service.settings import DecodingSettings
from tests.builders.files import sample_files

SPEC = PreprocessSpec(size_px=64)
PIXELS = (np.arange(160 * 120, dtype=np.uint32) % 4096).astype(np.uint16).reshape(160, 120)

FILES = {
    "DICOM": (sample_files.dicom_file(PIXELS), UNKNOWN),
    "MONOCHROME1": (sample_files.dicom_file(PIXELS, "MONOCHROME1"), UNKNOWN),
    "DICOM with warnings": (
        sample_files.dicom_file(PIXELS, ViewPosition="LL", PixelSpacing=[0, 0]),
        UNKNOWN,
    ),
    "DICOM without spacing and view": (
        sample_files.dicom_file(PIXELS, PixelSpacing=None, ViewPosition=""),
        UNKNOWN,
    ),
    "PNG": (sample_files.png_file(PIXELS), PNG),
    "JPEG": (sample_files.jpeg_file(PIXELS), JPEG),
    "one pixel": (sample_files.dicom_file(PIXELS[:1, :1]), UNKNOWN),
}
FAULTS = {
    "empty": b"",
    "PDF": b"%PDF-1.7",
    "colour": sample_files.colour_png_file(),
    "CT": sample_files.dicom_file(PIXELS, Modality="CT"),
    "frames": sample_files.dicom_file(PIXELS, NumberOfFrames=3),
    "too large": sample_files.dicom_file(np.zeros((300, 300), np.uint16)),
    "cut short": sample_files.png_file(PIXELS)[:200],
}


@pytest.mark.parametrize("preview_px", [None, 50, 500])
@pytest.mark.parametrize(("data", "media_type"), FILES.values(), ids=FILES)
def test_a_process_decodes_as_this_process_does(
    decoders: DecoderPool, data: bytes, media_type: str, preview_px: int | None
) -> None:
    request = DecodeRequest(data, media_type, SPEC, Limits(), preview_px)
    there, here = decoders.submit(request, Deadline(60)).result(60), decode(request)
    assert (there.image, there.geometry) == (here.image, here.geometry)
    assert there.timings_ms.keys() == here.timings_ms.keys()
    assert there.tensor.dtype == here.tensor.dtype
    assert np.array_equal(there.tensor, here.tensor)
    if preview_px is None:
        assert there.preview is here.preview is None
    else:
        assert there.preview is not None
        assert here.preview is not None
        assert np.array_equal(there.preview, here.preview)


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_an_error_travels_with_its_class_and_message(decoders: DecoderPool, data: bytes) -> None:
    request = DecodeRequest(data, UNKNOWN, SPEC, Limits(max_pixels=50_000))
    with pytest.raises(InputError) as here:
        decode(request)
    with pytest.raises(InputError) as there:
        decoders.submit(request, Deadline(60)).result(60)
    assert (there.type, str(there.value)) == (here.type, str(here.value))


def test_without_processes_files_are_decoded_in_this_one() -> None:
    before = psutil.Process().children(recursive=True)
    decoders = DecoderPool(DecodingSettings(workers=0))
    decoders.start()
    request = DecodeRequest(FILES["DICOM"][0], UNKNOWN, SPEC)
    tensor = decoders.submit(request, Deadline(60)).result(60).tensor
    assert np.array_equal(tensor, decode(request).tensor)
    assert psutil.Process().children(recursive=True) == before
    decoders.close()
