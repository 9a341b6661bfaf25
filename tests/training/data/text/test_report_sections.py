"""Sections and cleaning on synthetic reports, one of each odd form."""

from collections.abc import Callable

import pytest

from tests.builders.datasets.tiny_sets import REPORT, SAID
from training.data.text.report_cleaning import reason_too_short
from training.data.text.report_sections import any_text, pair_text, sections


def test_impression_comes_first_and_findings_follow() -> None:
    assert pair_text(REPORT) == SAID


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("FINDINGS", "Findings").replace("IMPRESSION", "Impression"),
        lambda text: text.replace("FINDINGS", "FINDNGS").replace("IMPRESSION", "IMPRESSOIN"),
        lambda text: text.replace("FINDINGS:", "FINDINGS").replace("IMPRESSION:", "IMPRESSION"),
        lambda text: text.replace("FINDINGS:", "FINDINGS :").replace("IMPRESSION", "CONCLUSION"),
        lambda text: text.replace(" FINDINGS", "\tFINDINGS"),
        lambda text: text + "\n RECOMMENDATION(S):  Follow up in two weeks.\n",
        lambda text: text + "\n FINAL ADDENDUM\n ADDENDUM: Seen with Dr. ___.\n\n Again so.\n",
        lambda text: "\x00" + text + "\x07",
    ],
    ids=[
        *("crlf", "cr", "mixed case", "misspelt", "no colon", "other name", "tab"),
        *("recommendations", "addendum", "control characters"),
    ],
)  # fmt: skip
def test_variants_of_one_report_give_the_same_text(change: Callable[[str], str]) -> None:
    assert pair_text(change(REPORT)) == SAID


def test_a_wet_read_is_not_the_report() -> None:
    wet = " WET READ: ___ ___ 9:14 AM\n  No pneumothorax.\n\n  Old words.\n " + "_" * 78 + "\n"
    assert pair_text(wet + REPORT) == SAID
    assert pair_text(wet) == ""


def test_headers_within_the_text_are_found() -> None:
    text = "CHEST: The lungs are clear. COMPARISON: None. IMPRESSION: Normal chest radiograph."
    assert pair_text(text) == "Normal chest radiograph. The lungs are clear."


@pytest.mark.parametrize(
    "header", ["FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "Impression & Findings"]
)
def test_identical_findings_and_impression_occur_once(header: str) -> None:
    assert pair_text(f"HISTORY: Pain.\n\n{header}: Small left effusion.") == "Small left effusion."


def test_without_findings_and_impression_the_last_paragraph_counts() -> None:
    text = (
        "FINAL REPORT\n PA AND LATERAL CHEST, ___\n\n INDICATION: Cough.\n\n"
        " TECHNIQUE: Two views.\n\n"
        " The heart is large.\n\n The lungs are clear.\n\n"
        " Findings were discussed with Dr. ___ by telephone at 9 a.m.\n"
    )
    assert sections(text).last_paragraph == "The lungs are clear."
    assert pair_text(text) == "The lungs are clear."


def test_a_section_of_several_paragraphs_is_read_whole() -> None:
    text = "FINDINGS:\n\nHeart is normal\n\nLungs are clear.\n\nCOMPARISON: None.\n"
    assert pair_text(text) == "Heart is normal. Lungs are clear."


def test_unknown_words_with_a_colon_are_content() -> None:
    assert pair_text("FINDINGS:\nLungs: Clear.\nHeart: Normal.") == "Lungs: Clear. Heart: Normal."


@pytest.mark.parametrize(
    "text",
    ["", " \r\n ", "FINDINGS:\n\nIMPRESSION:\n", "FINAL REPORT\n AP CHEST, ___\n", "___\n" * 20],
)
def test_a_report_without_content_is_empty(text: str) -> None:
    assert pair_text(text) == ""
    assert reason_too_short(pair_text(text)) == "empty report"


def test_a_text_without_headers_is_taken_whole() -> None:
    assert any_text("Heart is large.\n\nLungs clear") == "Heart is large. Lungs clear"
    assert any_text(REPORT) == SAID


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ("检查所见：双肺纹理清晰。\n印象：未见异常。", "未见异常。 双肺纹理清晰。"),
        ("【所见】1、双肺清晰；2、心正常。【印象】未见异常。", "未见异常。 双肺清晰； 心正常。"),
        ("所見:両肺野に異常陰影なし。診断:異常なし。", "異常なし。 両肺野に異常陰影なし。"),
        ("RÉSULTATS : Pas d'épanchement. CONCLUSION : Normal.", "Normal. Pas d'épanchement."),
        ("Hallazgos: Pulmones claros. Impresión: Normal.", "Normal. Pulmones claros."),
        ("BEFUND\nKein Erguss.\n\nBEURTEILUNG\nUnauffällig.", "Unauffällig. Kein Erguss."),
        ("Achados: Pulmões livres. Conclusão: Normal.", "Normal. Pulmões livres."),
        ("Referto: Non addensamenti. Conclusioni: Nella norma.", "Nella norma. Non addensamenti."),
        ("Bevindingen: Geen infiltraat. Conclusie: Normaal.", "Normaal. Geen infiltraat."),
        ("REPORT: The lungs are clear. CONCLUSION: Normal.", "Normal. The lungs are clear."),
        ("Report: Heart is large. Opinion: Stable.", "Stable. Heart is large."),
        ("findings: clear lungs. impression: normal chest.", "normal chest. clear lungs."),
        ("history: cough. findings: clear lungs. comparison: none.", "clear lungs."),
    ],
)  # fmt: skip
def test_headers_of_other_hospitals_are_known(report: str, text: str) -> None:
    assert any_text(report) == text


def test_text_without_header_remains_where_the_sections_are_short() -> None:
    assert any_text("The heart is large.\nCONCLUSION: Stable.") == "Stable. The heart is large."
    assert any_text("Заключение: без патологии в легких") == "Заключение: без патологии в легких"


def test_ordinary_words_before_a_colon_are_no_headers() -> None:
    text = "findings: No change. In my opinion: a small effusion."
    assert any_text(text) == text.removeprefix("findings: ")


@pytest.mark.parametrize(
    "part", ["。", "【", "印象：", ". a", ".a:", "impression: ", "1、", "【a】："]
)
def test_long_repetitions_of_any_hospital_are_parsed_in_linear_time(part: str) -> None:
    assert len(any_text(part * 200_000)) <= 110_000


@pytest.mark.parametrize("part", ["_", "1. ", "[**", "(", "IMPRESSION: ", "A ", "=\n", "\n", ",;"])
def test_long_repetitions_are_parsed_in_linear_time(part: str) -> None:
    assert len(pair_text(part * 200_000)) <= 100_000
