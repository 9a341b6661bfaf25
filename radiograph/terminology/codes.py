"""Coded terms for the findings and structures that the models name.

The codes are SNOMED CT concepts (scheme `SCT`), as DICOM CID 6153, CID 6104 and others use them,
or RadLex terms (scheme `RADLEX`) where SNOMED CT has no equally specific concept. Some labels of
public data sets have no code: "Hernia" (of an unstated organ) and "Pleural_Thickening" of
ChestX-ray14, and "Pneumonia other than COVID-19" of COVIDx. A description of a data set may add
codes (`training.config.description`).
"""

from radiograph.strict_model import StrictModel


class Code(StrictModel):
    """One coded concept, as in a DICOM code sequence (PS3.3 section 8.8).

    Attributes:
        scheme: Coding Scheme Designator (0008,0102).
        value: Code Value (0008,0100).
        meaning: Code Meaning (0008,0104).
    """

    scheme: str
    value: str
    meaning: str


def _sct(value: str, meaning: str) -> Code:
    return Code(scheme="SCT", value=value, meaning=meaning)


CODES: dict[str, Code] = {
    "Left lung": _sct("44029006", "Left lung structure"),
    "Right lung": _sct("3341006", "Right lung structure"),
    "Cardiomediastinum": _sct("72410000", "Mediastinal structure"),
    "Heart": _sct("80891009", "Heart structure"),
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
    """Return the code of a finding or structure by its name, or None if it has no code."""
    return CODES.get(name)


def has_side(name: str) -> bool:
    """Return whether a name of a finding or structure states a side of the patient."""
    words = name.replace("_", " ").lower().split()
    return "left" in words or "right" in words
