"""Encodings of a response: a result and its file become JSON, a picture, FHIR or DICOM objects.

JSON                   the whole result, with a PNG overlay beside it where one is kept
image/...              an overlay
application/fhir+json  a Bundle
application/dicom      the main object of the tasks, or the first of those that were selected
multipart/related      all selected objects, by default every kind that the tasks have
multipart/form-data    JSON and the displayed pixels
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from radiograph.manifest import Task
from radiograph.readers.part10 import looks_like_dicom
from service.dataplane.query import PredictionQuery, Upload
from service.dicom_results import kinds, multipart, writer
from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions, SegmentationType
from service.encoders import form_encoder, json_encoder, overlay_encoder, picture_formats
from service.encoders.fhir import document as fhir
from service.encoders.picture_formats import FORMATS, PNG
from service.errors import NoDicomObject
from service.inference.results import AnalysisResult
from service.settings import LimitSettings

JSON = json_encoder.MEDIA_TYPE
DICOM, RELATED = kinds.MEDIA_TYPE, multipart.RELATED
RESPONSE_FORMATS = (
    JSON,
    *picture_formats.available(),
    *fhir.MEDIA_TYPES,
    *((DICOM, RELATED) if kinds.is_installed() else ()),
)
"""Media types of an encoded prediction: JSON, the default, a picture of it, FHIR, or DICOM."""
WITH_PIXELS = form_encoder.MEDIA_TYPE
"""Media type of a prediction together with the displayed pixels, for a viewer."""

_SEGMENTATION_TYPES: dict[str, SegmentationType] = {"binary": "BINARY", "labelmap": "LABELMAP"}

Encode = Callable[[AnalysisResult, Upload], bytes]


@dataclass(frozen=True)
class ResponseEncoding:
    """Encoding of one result.

    Attributes:
        media_type: Content-Type of the encoded result.
        encode: encodes the result of an upload.
        overlay: also draw a PNG overlay beside it.
        preview_px: longest side of the preview that an overlay is drawn on, or None.
        pixels_px: longest side of the displayed pixels beside the result, or None.
        objects: returns the kinds of DICOM objects that tasks have, or None without any.
        beside: makes DICOM objects beside JSON, or None without any.
    """

    media_type: str
    encode: Encode
    overlay: bool = False
    preview_px: int | None = None
    pixels_px: int | None = None
    objects: Callable[[tuple[Task, ...]], tuple[ObjectKind, ...]] | None = None
    beside: Callable[[AnalysisResult, Upload], tuple[kinds.EncodedObject, ...]] | None = None

    def check(self, upload: Upload, tasks: tuple[Task, ...]) -> None:
        """Refuse what cannot be encoded, before any work is done.

        Raises:
            NoDicomObject: the file is not DICOM, or the tasks have none of the selected objects.
        """
        if self.objects is None:
            return
        if not looks_like_dicom(upload.data):
            raise NoDicomObject("DICOM objects are made for DICOM files only; ask for JSON")
        if not self.objects(tasks):
            raise NoDicomObject("the tasks have none of the selected DICOM objects")


class ResponseEncodings:
    """Finds the encoding that a query and a response format ask for.

    Args:
        limits: largest sides of pictures, and bounds on files.
        options: choices of the site about DICOM objects; that about sides is for FHIR as well.
    """

    def __init__(self, limits: LimitSettings, options: DicomResultOptions) -> None:
        self._limits = limits
        self._options = options

    def of(
        self,
        response_format: str,
        query: PredictionQuery,
        request_id: str,
        *,
        overlay: bool = False,
        objects: bool = False,
    ) -> ResponseEncoding:
        """Return the encoding.

        Args:
            response_format: one of `RESPONSE_FORMATS`, or `WITH_PIXELS`.
            query: what is asked.
            request_id: identifier to write into JSON.
            overlay: also draw a PNG overlay beside JSON.
            objects: also make the DICOM objects of the query beside JSON.
        """
        json = _json(query, request_id)
        if response_format == JSON:
            beside = self._made_beside(query) if objects else None
            drawn = overlay or (objects and _draws(query))
            preview_px = self._side_px(query, PNG) if drawn else None
            return ResponseEncoding(JSON, json, overlay, preview_px, beside=beside)
        if response_format == DICOM:
            return self._dicom_object(query)
        if response_format == RELATED:
            return self._dicom_objects(query)
        if response_format == WITH_PIXELS:
            return self._with_pixels(query, json)
        if response_format in fhir.MEDIA_TYPES:
            return ResponseEncoding(response_format, self._fhir(response_format))
        return ResponseEncoding(
            response_format,
            lambda result, _: overlay_encoder.encode(result, response_format),
            preview_px=self._side_px(query, response_format),
        )

    def _dicom_object(self, query: PredictionQuery) -> ResponseEncoding:
        def selected(tasks: tuple[Task, ...]) -> tuple[ObjectKind, ...]:
            return kinds.selected(query.objects, tasks) if query.objects else kinds.main(tasks)

        def encode(result: AnalysisResult, upload: Upload) -> bytes:
            found = writer.first(result, selected(writer.tasks_of(result)))
            (made,) = self._written(result, upload, found, query)
            return made.data

        preview_px = self._side_px(query, PNG) if "sc" in query.objects else None
        return ResponseEncoding(DICOM, encode, preview_px=preview_px, objects=selected)

    def _dicom_objects(self, query: PredictionQuery) -> ResponseEncoding:
        boundary = uuid.uuid4().hex

        def selected(tasks: tuple[Task, ...]) -> tuple[ObjectKind, ...]:
            return kinds.selected(query.objects, tasks)

        def encode(result: AnalysisResult, upload: Upload) -> bytes:
            found = selected(writer.tasks_of(result))
            made = self._written(result, upload, found, query)
            return multipart.join((item.data for item in made), boundary)

        return ResponseEncoding(
            multipart.content_type(boundary),
            encode,
            preview_px=self._side_px(query, PNG) if _draws(query) else None,
            objects=selected,
        )

    def _made_beside(
        self, query: PredictionQuery
    ) -> Callable[[AnalysisResult, Upload], tuple[kinds.EncodedObject, ...]]:
        """Return what makes the objects of a query; none if the result has nothing for them."""

        def make(result: AnalysisResult, upload: Upload) -> tuple[kinds.EncodedObject, ...]:
            found = kinds.selected(query.objects, writer.tasks_of(result))
            try:
                return self._written(result, upload, found, query)
            except NoDicomObject:
                return ()

        return make

    def _written(
        self,
        result: AnalysisResult,
        upload: Upload,
        selected: tuple[ObjectKind, ...],
        query: PredictionQuery,
    ) -> tuple[kinds.EncodedObject, ...]:
        options = self._options
        if query.segmentation is not None:
            options = replace(options, segmentation_type=_SEGMENTATION_TYPES[query.segmentation])
        return writer.write_for(result, upload.data, selected, options, self._limits.image)

    def _fhir(self, media_type: str) -> Encode:
        """Return the encoder of a release of FHIR."""
        release = fhir.MEDIA_TYPES[media_type]

        def encode(result: AnalysisResult, upload: Upload) -> bytes:
            coded_sides = self._options.codes_sides(result.image.laterality)
            sha256 = hashlib.sha256(upload.data).hexdigest()
            return fhir.encode(result, sha256, release, coded_sides=coded_sides)

        return encode

    def _with_pixels(self, query: PredictionQuery, json: Encode) -> ResponseEncoding:
        boundary = uuid.uuid4().hex
        largest = self._limits.pixels_side_px

        def encode(result: AnalysisResult, upload: Upload) -> bytes:
            return form_encoder.encode(json(result, upload), result.displayed, boundary)

        return ResponseEncoding(
            f"{WITH_PIXELS}; boundary={boundary}",
            encode,
            pixels_px=min(query.pixels_side_px or largest, largest),
        )

    def _side_px(self, query: PredictionQuery, picture: str) -> int:
        """Return the longest side of an overlay: as asked for, within settings and format."""
        largest = self._limits.overlay_side_px
        side_px = query.overlay_side_px or largest
        return min(side_px, largest, FORMATS[picture].max_side_px)


def _draws(query: PredictionQuery) -> bool:
    """Return whether one of all selected objects is an overlay."""
    return not query.objects or "sc" in query.objects


def _json(query: PredictionQuery, request_id: str) -> Encode:
    """Return the encoder of JSON."""
    return lambda result, _: json_encoder.encode(result, request_id, query.heatmap, query.rle)
