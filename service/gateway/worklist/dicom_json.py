"""Elements of the DICOM JSON Model (PS3.18 annex F), written, and read from what is not trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.gateway.configuration import Code

DataSet = Mapping[str, Any]

CODE_VALUE, CODING_SCHEME, CODE_MEANING = "00080100", "00080102", "00080104"


def element(vr: str, *values: object) -> dict[str, Any]:
    """Return an element with these values."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def code_sequence(*codes: Code) -> dict[str, Any]:
    """Return a sequence of coded entries."""
    return element(
        "SQ",
        *(
            {
                CODE_VALUE: element("SH", code.value),
                CODING_SCHEME: element("SH", code.scheme),
                CODE_MEANING: element("LO", code.meaning),
            }
            for code in codes
        ),
    )


def items(data_set: object, tag: str) -> list[object]:
    """Return the items of a sequence or the values of an element; none if it is anything else."""
    found = data_set.get(tag) if isinstance(data_set, dict) else None
    values = found.get("Value") if isinstance(found, dict) else None
    return values if isinstance(values, list) else []


def text(data_set: object, tag: str) -> str:
    """Return the first value of an element; empty if there is none, or it is no text."""
    value = next(iter(items(data_set, tag)), "")
    return value if isinstance(value, str) else ""


def has_code(data_set: object, tag: str, codes: Sequence[Code]) -> Code | None:
    """Return the first of some codes that a sequence has, or None."""
    found = {(text(item, CODE_VALUE), text(item, CODING_SCHEME)) for item in items(data_set, tag)}
    return next((code for code in codes if (code.value, code.scheme) in found), None)
