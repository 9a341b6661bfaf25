"""Harnesses: what must hold of any bytes that each parser of untrusted input is given.

    seeds --mutate--> bytes --> parser --> its result within bounds, or an error of ours

A harness raises if the bytes break a rule: an exception of another kind, a result beyond the
limits, or a disagreement with the library that parses the same format.
"""

import io
import json
import struct
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data
from pydicom import uid
from pydicom.filereader import data_element_generator

from bench.disturbances import mutated_files
from radiograph.errors import InputError, InvalidVersion
from radiograph.limits import Limits
from radiograph.manifest import ModelManifest
from radiograph.preprocess import PreprocessSpec, normalise, to_input
from radiograph.readers.raster import PNG_SIGNATURE
from radiograph.readers.read import DICOM, UNKNOWN, read
from radiograph.repository.integrity.onnx_external_data import refers_to_other_files
from service.api.uploads import multipart
from service.api.uploads.content_type import FORM, ContentType
from service.api.uploads.upload import unpack
from service.jobs.archives import zip_archive
from service.jobs.archives.inflate import inflate
from service.jobs.archives.tally import Tally
from service.settings import JobSettings, LimitSettings
from tests.builders.jobs import job_bodies
from tests.builders.models.versions.small_version import fields

LIMITS = Limits(max_bytes=1 << 20, max_pixels=1 << 20, max_inflated_bytes=1 << 22)
JOB_LIMITS = JobSettings(max_items=50, max_inflated_bytes=1 << 22)
SPECS = (PreprocessSpec(size_px=64), PreprocessSpec(size_px=64, version=2))
FORM_LIMITS = LimitSettings(max_phrases=4, max_phrase_chars=64)
BOUNDARY = b"form"


@dataclass(frozen=True)
class Harness:
    """One parser under test.

    Attributes:
        name: name of the harness and of its folder in `tests/corpus/`.
        seeds: small valid inputs, from which mutations start.
        check: raises if the bytes break a rule.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    check: Callable[[bytes], None]


def check_dicom(data: bytes) -> None:
    """A DICOM file is one radiograph within the limits, or an input error."""
    _check_radiograph(data, DICOM)


def check_raster(data: bytes) -> None:
    """A file of unknown type is one radiograph within the limits, or an input error.

    So is a PNG file with its checksums mended, without which a reader looks no further.
    """
    _check_radiograph(data, UNKNOWN)
    if data.startswith(PNG_SIGNATURE) and (mended := mutated_files.with_checksums(data)) != data:
        _check_radiograph(mended, UNKNOWN)


def _check_radiograph(data: bytes, media_type: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parsers warn of every fault
        try:
            radiograph = read(data, media_type, LIMITS)
            tensors = [normalise(to_input(radiograph, spec).grid, spec) for spec in SPECS]
        except InputError:
            return
    assert 1 <= radiograph.rows * radiograph.columns <= LIMITS.max_pixels
    assert int(radiograph.samples.max()) < len(radiograph.table.brightness)
    for tensor in tensors:
        assert np.isfinite(tensor).all()
    for warning in radiograph.warnings:
        assert warning.isprintable()


def check_zip(data: bytes) -> None:
    """The pieces of a zip file lie inside it, do not overlap, and stay within their sizes."""
    try:
        contents = zip_archive.read(io.BytesIO(data), 0, len(data), Tally(JOB_LIMITS))
    except InputError:
        return
    assert len(contents.pieces) <= JOB_LIMITS.max_items
    assert sum(piece.size for piece in contents.pieces) <= JOB_LIMITS.max_inflated_bytes
    for piece in contents.pieces:
        assert 0 <= piece.start <= piece.start + piece.stored <= len(data)
        if piece.deflated:
            _check_inflated(data[piece.start : piece.start + piece.stored], piece.size)


def _check_inflated(stored: bytes, size: int) -> None:
    try:
        assert len(inflate(io.BytesIO(stored), len(stored), size)) <= size
    except InputError:
        return


def check_multipart(data: bytes) -> None:
    """A body has the same parts however it is cut into chunks, and they lie inside it."""
    whole = _spans(data, len(data) or 1)
    assert whole == _spans(data, 7)
    if whole is not None:
        assert all(0 <= span.start <= span.end <= len(data) for span in whole)
    try:
        upload = unpack(ContentType(FORM, BOUNDARY), data, FORM_LIMITS)
    except InputError:
        return
    assert upload.data in data
    assert len(upload.phrases) <= FORM_LIMITS.max_phrases


def _spans(data: bytes, chunk_bytes: int) -> list[multipart.Span] | None:
    try:
        return list(multipart.spans(data, BOUNDARY, chunk_bytes))
    except InputError:
        return None


def check_manifest(data: bytes) -> None:
    """A manifest is equal after a round trip, and no file of it lies outside the version."""
    try:
        manifest = ModelManifest.from_json(data)
    except InvalidVersion:
        return
    assert ModelManifest.from_json(manifest.to_json()) == manifest
    for name in (manifest.trunk.file, manifest.golden.file, *manifest.files):
        assert not name.startswith("/")
        assert ".." not in name.split("/")


def check_onnx(data: bytes) -> None:
    """Every graph in which `onnx` finds a tensor in another file is found to have one."""
    try:
        found = refers_to_other_files(data)
    except ValueError:
        return
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        assert found


def _tensors(graph: onnx.GraphProto) -> Iterable[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.ByteSize():
                    yield from _tensors(inner)


@cache
def _dicom_seeds() -> tuple[bytes, ...]:
    return tuple(seed.data for seed in mutated_files.seeds() if seed.media_type == DICOM)


def dicom_seeds() -> list[bytes]:
    """Return a small DICOM file in every transfer syntax that is read."""
    return list(_dicom_seeds())


def raster_seeds() -> list[bytes]:
    """Return small PNG and JPEG files of every kind that is read."""
    return [seed.data for seed in mutated_files.seeds() if seed.media_type != DICOM]


def zip_seeds() -> list[bytes]:
    """Return an export of a PACS, and a small stored archive."""
    return [
        job_bodies.pacs_export([job_bodies.radiograph()]),
        job_bodies.zip_file({"a/1": b"x" * 40, "2": b"y"}, compression=0),
    ]


def multipart_seeds() -> list[bytes]:
    """Return forms with files and phrases."""
    body, _ = job_bodies.form([("1.dcm", b"file")], ["left lung", "heart"], BOUNDARY.decode())
    empty, _ = job_bodies.form([], [], BOUNDARY.decode())
    return [body, b"preamble\r\n" + body + b"epilogue", empty]


def manifest_seeds() -> list[bytes]:
    """Return a small manifest."""
    files = dict.fromkeys(("trunk.onnx", "heads/findings.onnx", "golden.npz"), "0" * 64)
    return [json.dumps(fields(files)).encode()]


def onnx_seeds() -> list[bytes]:
    """Return a graph with values of its own, and one whose values are in another file."""
    found = []
    for location in (None, "../weights"):
        tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], bytes(8), raw=True)
        if location is not None:
            set_external_data(tensor, location)
        node = helper.make_node("Constant", [], ["y"], value=tensor)
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
        graph = helper.make_graph([node], "g", [], [output], [tensor])
        found.append(helper.make_model(graph).SerializeToString())
    return found


HARNESSES = {
    harness.name: harness
    for harness in (
        Harness("dicom", dicom_seeds, check_dicom),
        Harness("raster", raster_seeds, check_raster),
        Harness("zip", zip_seeds, check_zip),
        Harness("multipart", multipart_seeds, check_multipart),
        Harness("manifest", manifest_seeds, check_manifest),
        Harness("onnx", onnx_seeds, check_onnx),
    )
}


@dataclass(frozen=True)
class RawElement:
    """One data element of an explicit VR little endian file, as its bytes."""

    tag: int
    vr: str
    value: bytes

    def encoded(self) -> bytes:
        """Return the element, with whatever value it has (PS3.5 section 7.1.2)."""
        head = struct.pack("<HH", self.tag >> 16, self.tag & 0xFFFF) + self.vr.encode()
        if self.vr in ("OB", "OW", "OF", "SQ", "UN", "UT"):
            return head + struct.pack("<HI", 0, len(self.value)) + self.value
        return head + struct.pack("<H", len(self.value) & 0xFFFF) + self.value


@cache
def raw_elements() -> tuple[bytes, tuple[RawElement, ...]]:
    """Return the first 132 bytes and file meta of an uncompressed seed, and its elements."""
    (seed,) = (
        data for data in _dicom_seeds() if uid.ExplicitVRLittleEndian.encode() + b"\0" in data
    )
    start = 132 + 12 + int.from_bytes(seed[140:144], "little")
    stream = io.BytesIO(seed[start:])
    elements = tuple(
        RawElement(int(raw.tag), str(raw.VR), raw.value or b"")
        for raw in data_element_generator(stream, is_implicit_VR=False, is_little_endian=True)
    )
    return seed[:start], elements
