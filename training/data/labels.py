"""What the labels of each table say about each finding: present, absent, or not known.

A finding that a table does not label is not known, never absent: a child with pneumonia in
the Kermany set may well have an effusion.
"""

from training.data.tables import Row

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


def truth(row: Row) -> dict[str, bool]:
    """Finding -> whether it is present; a finding that is not known is left out."""
    if row.table == "kermany_224":
        return {
            "Pneumonia": "pneumonia" in row.labels,
            "Bacterial pneumonia": "bacterial" in row.labels,
            "Viral pneumonia": "viral" in row.labels,
        }
    if row.table == "nih_subset":
        return {name: name in row.labels for name in NIH_FINDINGS}
    return {}


def is_normal(row: Row) -> bool:
    """Whether the row is labelled as free of any finding."""
    return bool({"normal", "No Finding"} & set(row.labels))
