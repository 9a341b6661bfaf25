"""Findings of a row, from the labels of its data set: present, absent, or not known.

A finding that a data set does not label is not known, never absent: a child with pneumonia in
the Kermany set may well have an effusion.
"""

from training.data.rows.reader import Row

NIH_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
ONE_FINDING = {
    "rsna": ("Pneumonia",),
    "siim": ("Pneumothorax",),
    "object_cxr": ("Foreign object",),
}
COVIDX_FINDINGS = {
    "normal": "No finding",
    "pneumonia": "Pneumonia other than COVID-19",
    "COVID-19": "COVID-19",
}
"""Class, as COVIDx spells it -> finding. The classes exclude each other."""
UNCERTAIN_AS_PRESENT = {
    "Atelectasis": True,
    "Cardiomegaly": False,
    "Consolidation": False,
    "Edema": True,
    "Pleural Effusion": True,
}
"""Label of the CheXpert competition -> True if an uncertain label counts as present."""


def truth(row: Row) -> dict[str, bool]:
    """Return finding -> present or absent; findings that are not known are left out."""
    if row.table == "kermany_224":
        return {
            "Pneumonia": "pneumonia" in row.labels,
            "Bacterial pneumonia": "bacterial" in row.labels,
            "Viral pneumonia": "viral" in row.labels,
        }
    if row.table in ("nih_subset", "cxr14"):
        return {name: name in row.labels for name in NIH_FINDINGS}
    if row.table == "covidx":
        return {finding: label in row.labels for label, finding in COVIDX_FINDINGS.items()}
    if row.table == "chexpert_competition":
        return {
            name: name in row.labels or (as_present and name in row.uncertain)
            for name, as_present in UNCERTAIN_AS_PRESENT.items()
        }
    return {name: name in row.labels for name in ONE_FINDING.get(row.table, ())}


def is_normal(row: Row) -> bool:
    """Return whether the row is labelled as free of any finding."""
    return bool({"normal", "Normal", "No Finding"} & set(row.labels))


def complete_boxes(row: Row) -> frozenset[str]:
    """Return the labels whose boxes are all known, so that a row without any has none."""
    normal = frozenset({"Lung opacity"}) if is_normal(row) else frozenset()
    return normal | frozenset(row.complete)
