"""Codes of findings and structures are well-formed, and names without a code have none."""

import pytest

from radiograph.terminology.codes import CODES, code_of

_MULTIPLICATION = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_PERMUTATION = "1576283094"


def verhoeff(number: str) -> int:
    """Return the check value of a SNOMED CT identifier, 0 if it is valid.

    Source: SNOMED CT Release File Specifications, section on the Verhoeff check digit.
    """
    check = 0
    for position, character in enumerate(reversed(number)):
        digit = int(character)
        for _ in range(position % 8):
            digit = int(_PERMUTATION[digit])
        check = int(_MULTIPLICATION[check][digit])
    return check


@pytest.mark.parametrize("name", [name for name, code in CODES.items() if code.scheme == "SCT"])
def test_a_snomed_ct_code_has_a_valid_check_digit(name: str) -> None:
    assert verhoeff(CODES[name].value) == 0


def test_a_mistyped_snomed_ct_code_is_noticed() -> None:
    assert verhoeff("233604007") == 0
    assert verhoeff("233604070") != 0


def test_every_code_is_of_a_known_scheme() -> None:
    assert {code.scheme for code in CODES.values()} == {"SCT", "RADLEX"}


@pytest.mark.parametrize("name", ["Hernia", "Pleural_Thickening", "pneumonia", ""])
def test_a_name_without_a_code_has_none(name: str) -> None:
    assert code_of(name) is None
