"""Identity of the study that a radiograph belongs to, as far as results refer to it."""

from datetime import date
from typing import Annotated

from pydantic import Field

from radiograph.strict_model import StrictModel

IDENTIFIER = r"^[^\x00-\x1f\x7f-\x9f\\]{1,256}$"
"""A LO or SH value that can be repeated; real ones are longer than the standard allows."""

StudyUid = Annotated[str, Field(pattern=r"^[0-9.]{1,128}$")]
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]


class StudyIdentity(StrictModel):
    """Attributes of a DICOM header that tell a receiver what a result belongs to.

    The values are those of the file, letter for letter: a PACS would take a corrected one for that
    of another study or patient. One that cannot be repeated is None.

    Attributes:
        study_instance_uid: Study Instance UID (0020,000D).
        study_date: Study Date (0008,0020).
        patient_id: Patient ID (0010,0020).
        issuer_of_patient_id: Issuer of Patient ID (0010,0021).
    """

    study_instance_uid: StudyUid | None = None
    study_date: date | None = None
    patient_id: Identifier | None = Field(default=None, repr=False)
    issuer_of_patient_id: Identifier | None = Field(default=None, repr=False)
