"""Cleaning of report text."""

import pytest

from training.data.text.report_cleaning import clean, reason_too_short


def test_a_report_of_two_words_is_too_short() -> None:
    assert reason_too_short("No change ___ 12") == "report shorter than 3 words"
    assert reason_too_short("No acute process") == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("双肺清晰", ""),
        ("異常なし。", ""),
        ("ปอดปกติทั้งสองข้าง", ""),
        ("正常", "report shorter than 4 letters"),
        ("心肺 正", "report shorter than 4 letters"),
        ("정상 소견", "report shorter than 3 words"),
        ("。。。。。", "empty report"),
    ],
)
def test_letters_are_counted_where_a_script_has_no_spaces(text: str, reason: str) -> None:
    assert reason_too_short(text) == reason


def test_a_report_without_sections_is_not_called_empty() -> None:
    assert reason_too_short("", "HISTORY: Cough.") == "no findings and no impression in the report"
    assert reason_too_short("", " \n") == "empty report"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("1. Effusion on left.\n2. Normal heart", "Effusion on left. Normal heart"),
        ("1.EFFUSION\n2.HEART NORMAL", "EFFUSION. HEART NORMAL"),
        ("(1) Effusion\n(2) Normal heart", "Effusion. Normal heart"),
        ("Effusion is small. 2. Heart is normal.", "Effusion is small. Heart is normal."),
        ("- Effusion\n- Normal heart", "Effusion. Normal heart"),
        ("Tip of the tube at T\n4. Lungs clear.", "Tip of the tube at T 4. Lungs clear."),
        ("1.5 cm nodule", "1.5 cm nodule"),
        ("Compared to ___, unchanged", "Compared to, unchanged"),
        ("Chest film of [**2101-1-1**] (___), normal", "Chest film of, normal"),
        ("Inferior XXXX XXXX are normal", "Inferior are normal"),
        ("Lungs\n   are\tclear .", "Lungs are clear."),
    ],
)
def test_cleaning_keeps_the_wording(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned
