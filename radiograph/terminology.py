"""Findings and anatomy that the models name, with their codes.

SNOMED CT concepts (scheme `SCT`) as DICOM CID 6153 and others use them, RadLex (`RADLEX`)
where SNOMED CT has no concept of that grain. Mass, Nodule and Foreign body are those of CID 6104
and others. ChestX-ray14's "Hernia" (of which part is not said) and "Pleural_Thickening", and
COVIDx's "Pneumonia other than COVID-19" have none.
"""

from pydantic import BaseModel, ConfigDict


class Code(BaseModel):
    """One coded concept, as in a DICOM code sequence (PS3.3 section 8.8)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str
    value: str
    meaning: str


def _sct(value: str, meaning: str) -> Code:
    return Code(scheme="SCT", value=value, meaning=meaning)


CODES: dict[str, Code] = {
    "Left lung": _sct("44029006", "Left lung structure"),
    "Right lung": _sct("3341006", "Right lung structure"),
    "Cardiomediastinum": _sct("72410000", "Mediastinal structure"),
    "Pneumonia": _sct("233604007", "Pneumonia"),
    "Bacterial pneumonia": _sct("53084003", "Bacterial pneumonia"),
    "Viral pneumonia": _sct("75570004", "Viral pneumonia"),
    "Lung opacity": Code(scheme="RADLEX", value="RID28530", meaning="opacity"),
    "Infiltration": _sct("409609008", "Radiologic infiltrate of lung"),
    "Atelectasis": _sct("46621007", "Atelectasis"),
    "Effusion": _sct("60046008", "Pleural effusion"),
    "Edema": _sct("19242006", "Pulmonary edema"),
    "Consolidation": _sct("95436008", "Lung consolidation"),
    "Cardiomegaly": _sct("8186001", "Cardiomegaly"),
    "Pneumothorax": _sct("36118008", "Pneumothorax"),
    "Pleural Effusion": _sct("60046008", "Pleural effusion"),
    "Emphysema": _sct("87433001", "Pulmonary emphysema"),
    "Fibrosis": _sct("51615001", "Fibrosis of lung"),
    "Mass": _sct("4147007", "Mass"),
    "Nodule": _sct("27925004", "Nodule"),
    "COVID-19": _sct("840539006", "COVID-19"),
    "Foreign object": _sct("19227008", "Foreign body"),
    "No finding": _sct("281900007", "No abnormality detected"),
}


def code_of(name: str) -> Code | None:
    """The code of a finding or structure by its name, or None when there is none."""
    return CODES.get(name)
