"""Reader of the identity of the study: UID, date and patient of a DICOM header."""

import re
from datetime import date, datetime

from radiograph.readers.header.attributes import Attributes
from radiograph.study import IDENTIFIER, StudyIdentity

_UID = re.compile(r"[0-9.]{1,128}")


def study_identity(header: Attributes) -> StudyIdentity:
    """Return what the header says about study and patient; what is unusable is None."""
    uid = header.text("StudyInstanceUID")
    return StudyIdentity(
        study_instance_uid=uid if _UID.fullmatch(uid) else None,
        study_date=_date(header.text("StudyDate")),
        patient_id=_identifier(header, "PatientID"),
        issuer_of_patient_id=_identifier(header, "IssuerOfPatientID"),
    )


def _identifier(header: Attributes, keyword: str) -> str | None:
    """Return an identifier in full; a part of one may be that of another patient."""
    text = header.decoded_text(keyword)
    return text if text is not None and re.fullmatch(IDENTIFIER, text) else None


def _date(text: str) -> date | None:
    """Return a date of the form YYYYMMDD.

    Source: DICOM PS3.5 section 6.2, value representation DA.
    """
    if not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 # a date has no zone
    except ValueError:
        return None
