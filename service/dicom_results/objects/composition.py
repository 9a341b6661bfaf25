"""Composition of one object: everything that all kinds of objects have in common.

    highdicom builds a data set for a reference without a patient  -->  patient and study are
    copied verbatim, times, character set and derived UIDs are set  -->  file

highdicom refuses or changes values that real headers hold, so that it is never given them.
"""

import functools
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.coding import Code as DicomCode
from pydicom.uid import UID

from service.dicom_results import character_sets
from service.dicom_results.kinds import MANUFACTURER, EncodedObject, ObjectKind
from service.dicom_results.objects import codes
from service.dicom_results.objects.codes import shortened
from service.dicom_results.objects.identity import DerivedUids
from service.dicom_results.options import DicomResultOptions
from service.dicom_results.source import SourceHeader
from service.inference.results import AnalysisResult

_IMPLEMENTATION_CLASS_UID = "2.25.83500190013932033333779704649256621981"
_IMPLEMENTATION_VERSION = "G2D_RESULTS_1"
_LEFT_OUT = (
    "InstanceCreationDate",
    "InstanceCreationTime",
    "DateOfSecondaryCapture",
    "TimeOfSecondaryCapture",
)
_CLOCKED = ("Content", "PresentationCreation")
"""Names of the dates and times that highdicom takes from the clock."""
_BLANK_SIDE_PX = 8
"""Rows and columns of the image that stands in for a large one while a data set is built."""


@dataclass(frozen=True)
class Composition:
    """One object that is being made.

    Attributes:
        kind: kind of the object.
        result: the result, without names of sides where these are unknown.
        source: header of the radiograph.
        options: choices of the site.
        uids: derived UIDs of the object.
    """

    kind: ObjectKind
    result: AnalysisResult
    source: SourceHeader
    options: DicomResultOptions
    uids: DerivedUids

    @property
    def algorithm_parameters(self) -> str:
        """Digest of the version as a parameter of the algorithm."""
        return f"sha256:{self.result.model.digest}"

    @functools.cached_property
    def identifying(self) -> dict[str, Any]:
        """Arguments of highdicom that identify object, series and device."""
        model = self.result.model
        return {
            "series_instance_uid": self.uids.uid("series"),
            "series_number": self.options.number_of(self.kind),
            "sop_instance_uid": self.uids.uid("instance"),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": shortened(model.name),
            "software_versions": str(model.version),
            "device_serial_number": model.digest,
            "series_description": "-",
        }

    @property
    def study_instance_uid(self) -> str:
        """The study, as highdicom is given it."""
        return self._referable(self.source.study_instance_uid)

    @property
    def instance(self) -> tuple[str, str]:
        """SOP class and instance of the radiograph, as highdicom is given them."""
        source = self.source
        return self._referable(source.sop_class_uid), self._referable(source.sop_instance_uid)

    def _referable(self, uid: str) -> str:
        """Return a UID, or a stand-in for one that is not well-formed and would be warned of."""
        return uid if UID(uid, config.IGNORE).is_valid else self.uids.uid(f"stand-in {uid}")

    def _set_verbatim(self, dataset: Dataset) -> None:
        """Replace stand-ins by the UIDs that they stand for."""
        source = self.source
        stated = (
            source.sop_class_uid,
            source.sop_instance_uid,
            source.series_instance_uid,
            source.study_instance_uid,
        )
        replaced = {self._referable(uid): uid for uid in stated if self._referable(uid) != uid}
        for element in dataset.iterall() if replaced else ():
            if element.VR == "UI" and element.value in replaced:
                element.validation_mode = config.IGNORE
                element.value = replaced[element.value]

    def reference(self, *, blank: bool = False) -> Dataset:
        """Return the radiograph as highdicom refers to it, without a patient.

        Args:
            blank: with a few rows and columns instead of its own, so that nothing is computed for
                pixels that are written later.
        """
        image = self.result.image
        made = Dataset()
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
            put(made, keyword, "")
        for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            put(made, keyword, "")
        made.SOPClassUID, made.SOPInstanceUID = self.instance
        made.SeriesInstanceUID = self._referable(self.source.series_instance_uid)
        made.StudyInstanceUID = self.study_instance_uid
        made.FrameOfReferenceUID = self.source.frame_of_reference_uid or self.uids.uid("frame")
        made.Modality = "CR"
        made.InstanceNumber = 1
        made.Rows = _BLANK_SIDE_PX if blank else image.rows
        made.Columns = _BLANK_SIDE_PX if blank else image.columns
        made.PhotometricInterpretation = image.photometric_interpretation
        made.SamplesPerPixel = 1
        made.BitsAllocated = made.BitsStored = 16
        made.PixelRepresentation = 0
        return made

    def encode(self, dataset: Dataset, *texts: str) -> EncodedObject:
        """Complete a data set and return it as a file.

        Args:
            dataset: what highdicom built for `reference`; it is changed.
            texts: all text of it that is not ASCII by construction.
        """
        description = self.options.description_of(self.kind)
        copied = self.source.copied
        put_all(dataset, copied)
        self._set_verbatim(dataset)
        put(dataset, "SeriesDescription", shortened(description))
        self._set_times(dataset)
        texts = (*copied.values(), description, self.result.model.name, *texts)
        keep = self.options.charset == "source"
        character_set = character_sets.choose(self.source.character_set, texts, keep=keep)
        put(dataset, "SpecificCharacterSet", character_set or None)
        meta = dataset.file_meta
        meta.ImplementationClassUID = UID(_IMPLEMENTATION_CLASS_UID)
        meta.ImplementationVersionName = _IMPLEMENTATION_VERSION
        buffer = BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
        return EncodedObject(
            self.kind,
            str(dataset.SOPClassUID),
            str(dataset.SOPInstanceUID),
            str(meta.TransferSyntaxUID),
            buffer.getvalue(),
        )

    def _set_times(self, dataset: Dataset) -> None:
        """Set the times that the standard requires to that of the radiograph, and leave others out.

        A retry gives equal bytes then. Instance Creation Date and Time are optional (PS3.3 section
        C.12.1), and would state a time at which the object was not made.
        """
        moment = self.source.moment
        for name in _CLOCKED:
            if f"{name}Date" in dataset:
                put_all(dataset, {f"{name}Date": moment.date, f"{name}Time": moment.time})
        for keyword in _LEFT_OUT:
            put(dataset, keyword, None)
        put(dataset, "ContributingEquipmentSequence", None)  # highdicom with the time of the clock
        put_all(dataset, {"SeriesDate": moment.date, "SeriesTime": moment.time})
        offset = moment.offset or _offset(self.options.time_zone, moment.date, moment.time)
        put(dataset, "TimezoneOffsetFromUTC", offset or None)


def put(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an element verbatim, or delete it with None."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    if value is None:
        dataset.pop(tag, None)
        return
    dataset[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)


def put_all(dataset: Dataset, values: Mapping[str, Any]) -> None:
    """Set elements verbatim."""
    for keyword, value in values.items():
        put(dataset, keyword, value)


def item_of(**values: Any) -> Dataset:
    """Return an item of a sequence, its values verbatim."""
    made = Dataset()
    put_all(made, values)
    return made


def put_chest(dataset: Dataset) -> None:
    """State that the object shows the chest, which is not one of the paired body parts."""
    put(dataset, "BodyPartExamined", "CHEST")


def put_private_scheme(dataset: Dataset, concepts: Iterable[DicomCode]) -> None:
    """Identify the private coding scheme where a code of it is used."""
    if any(code.scheme_designator == codes.PRIVATE_SCHEME for code in concepts):
        scheme = item_of(
            CodingSchemeDesignator=codes.PRIVATE_SCHEME, CodingSchemeName=codes.PRIVATE_SCHEME_NAME
        )
        dataset.CodingSchemeIdentificationSequence = [scheme]


@functools.lru_cache(maxsize=64)
def _offset(zone: str, date: str, time: str) -> str:
    """Return the offset of a zone at a local time, such as `-0400`; empty without a zone."""
    if not zone:
        return ""
    at = datetime.strptime(date + time[:6].ljust(6, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - local
    return at.replace(tzinfo=zoneinfo.ZoneInfo(zone)).strftime("%z")[:5]
