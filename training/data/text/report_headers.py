"""Headers of the sections of a report, and how they are found in its text.

    ENGLISH      MIMIC-CXR and CheXpert Plus    at the start of a line, with a colon or alone on it,
                                                in any case; within a line in capitals with a colon
    ANY_HOSPITAL eight languages besides          also within a line in any case, with a colon after
                                                the end of a sentence, and in brackets: 【所见】

Names are compared in capitals, without accents, with single spaces.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FINDINGS, IMPRESSION, BOTH, OTHER, DROPPED = "findings", "impression", "both", "other", "drop"

_ENGLISH_NAMES = {
    FINDINGS: "FINDINGS|FINDING|RADIOGRAPHIC FINDINGS|CHEST FINDINGS",
    IMPRESSION: "IMPRESSION|IMPRESSIONS|CONCLUSION|CONCLUSIONS|INTERPRETATION|OPINION"
    "|IMPRESSION AND RECOMMENDATION|IMPRESSION AND RECOMMENDATIONS|FINAL IMPRESSION",
    BOTH: "FINDINGS AND IMPRESSION|FINDINGS IMPRESSION|IMPRESSION AND FINDINGS"
    "|IMPRESSION FINDINGS|FINDINGS AND IMPRESSIONS|FINDINGS AND CONCLUSION",
    OTHER: "EXAM|EXAMINATION|EXAMINATIONS|STUDY|TYPE OF EXAM|TYPE OF STUDY|PROCEDURE"
    "|PROCEDURE COMMENTS|TECHNIQUE|TECHNIQUES|INDICATION|INDICATIONS|HISTORY|CLINICAL HISTORY"
    "|CLINICAL INFORMATION|CLINICAL INDICATION|CLINICAL DATA|MEDICAL CONDITION|REASON"
    "|REASON FOR EXAM|REASON FOR EXAMINATION|REASON FOR STUDY|REASON FOR THE STUDY"
    "|REASON FOR THIS EXAM|REASON FOR THIS EXAMINATION|COMPARISON|COMPARISONS|COMPARISON STUDY"
    "|COMPARED TO|PRIOR STUDY|PRIOR STUDIES|VIEWS|DATE|DATE OF EXAM|NARRATIVE|NOTIFICATION"
    "|NOTIFICATIONS|RECOMMENDATION|RECOMMENDATIONS|COMMUNICATION|SUMMARY|ACCESSION NUMBER"
    "|ATTESTATION|DICTATED BY|SIGNED BY|ELECTRONICALLY SIGNED BY|END OF IMPRESSION|FINAL REPORT",
    DROPPED: "WET READ|PRELIMINARY REPORT|PRELIMINARY READ|ADDENDUM|FINAL ADDENDUM|ADDENDA",
}
"""Headers of MIMIC-CXR and CheXpert Plus."""
_FURTHER_NAMES = (
    {  # English of other hospitals
        FINDINGS: "REPORT|DESCRIPTION|OBSERVATIONS|FINDINGS REPORT",
        IMPRESSION: "COMMENT|DIAGNOSIS|DIAGNOSTIC IMPRESSION|RADIOLOGICAL DIAGNOSIS|ASSESSMENT",
        OTHER: "CLINICAL DETAILS|CLINICAL QUESTION|CLINICAL DIAGNOSIS|REPORTED BY|PATIENT",
    },
    {  # French
        FINDINGS: "RÉSULTAT|RÉSULTATS|COMPTE RENDU|CONSTATATIONS",
        IMPRESSION: "SYNTHÈSE|IMPRESSION DIAGNOSTIQUE|EN CONCLUSION",
        OTHER: "MOTIF|RENSEIGNEMENTS CLINIQUES|COMPARAISON|EXAMEN|ANTÉCÉDENTS|HISTOIRE",
    },
    {  # Spanish
        FINDINGS: "HALLAZGOS|HALLAZGO|INFORME|DESCRIPCIÓN|RESULTADO|RESULTADOS",
        IMPRESSION: "IMPRESIÓN|IMPRESIÓN DIAGNÓSTICA|CONCLUSIÓN|CONCLUSIONES|DIAGNÓSTICO|OPINIÓN",
        OTHER: "TÉCNICA|INDICACIÓN|MOTIVO|DATOS CLÍNICOS|COMPARACIÓN|ANTECEDENTES|ESTUDIO|EXAMEN",
    },
    {  # Portuguese
        FINDINGS: "ACHADOS|LAUDO|RELATÓRIO|DESCRIÇÃO|ANÁLISE",
        IMPRESSION: "IMPRESSÃO|IMPRESSÃO DIAGNÓSTICA|CONCLUSÃO|CONCLUSÕES|OPINIÃO|HIPÓTESE"
        "|HIPÓTESE DIAGNÓSTICA",
        OTHER: "TÉCNICA|INDICAÇÃO|INDICAÇÃO CLÍNICA|DADOS CLÍNICOS|COMPARAÇÃO|EXAME|HISTÓRIA",
    },
    {  # Italian
        FINDINGS: "REFERTO|REPERTI|DESCRIZIONE|RISULTATI",
        IMPRESSION: "CONCLUSIONI|CONCLUSIONE|IMPRESSIONE|DIAGNOSI|GIUDIZIO DIAGNOSTICO",
        OTHER: "TECNICA|INDICAZIONE|INDICAZIONI|QUESITO CLINICO|QUESITO DIAGNOSTICO|CONFRONTO"
        "|ESAME|ANAMNESI|DATI CLINICI",
    },
    {  # German
        FINDINGS: "BEFUND|BEFUNDE|RÖNTGENBEFUND|BESCHREIBUNG",
        IMPRESSION: "BEURTEILUNG|ZUSAMMENFASSUNG|ZUSAMMENFASSENDE BEURTEILUNG|FAZIT|DIAGNOSE",
        BOTH: "BEFUND UND BEURTEILUNG",
        OTHER: "TECHNIK|INDIKATION|FRAGESTELLUNG|KLINISCHE ANGABEN|KLINIK|ANAMNESE|VERGLEICH"
        "|VORAUFNAHMEN|VORUNTERSUCHUNG|UNTERSUCHUNG|METHODE",
    },
    {  # Dutch
        FINDINGS: "BEVINDINGEN|BEVINDING|VERSLAG|BESCHRIJVING",
        IMPRESSION: "CONCLUSIE|CONCLUSIES|BEOORDELING|IMPRESSIE",
        OTHER: "TECHNIEK|INDICATIE|KLINISCHE GEGEVENS|KLINISCHE INFORMATIE|VRAAGSTELLING"
        "|VERGELIJKING|ONDERZOEK|VOORGESCHIEDENIS",
    },
    {  # Chinese, simplified and traditional
        FINDINGS: "所见|影像所见|检查所见|放射学所见|X线所见|影像表现|检查表现|影像学表现|表现|报告"
        "|所見|影像所見|檢查所見|影像表現|報告",
        IMPRESSION: "印象|诊断|诊断意见|影像诊断|诊断印象|影像学诊断|结论|检查结论|意见|检查意见"
        "|提示|診斷|影像診斷|診斷意見|結論",
        OTHER: "检查方法|检查技术|检查部位|检查项目|检查名称|临床诊断|临床资料|临床病史|临床表现"
        "|病史|主诉|对比|比较|建议|报告医师|檢查方法|檢查部位|臨床診斷|臨床資料|比較|建議|報告醫師",
    },
    {  # Japanese
        FINDINGS: "所見|画像所見|読影所見|レポート|検査所見",
        IMPRESSION: "診断|画像診断|印象|結論|読影診断|まとめ|インプレッション|診断名",
        OTHER: "検査目的|臨床情報|臨床診断|依頼目的|撮影条件|撮影部位|検査方法|比較|既往歴|主訴",
    },
)


def plain(name: str) -> str:
    """Return a name in capitals, without accents and with single spaces between its words."""
    bare = unicodedata.normalize("NFKD", name.upper().replace("&", " AND "))
    letters = (c if c.isalpha() else " " for c in bare if not unicodedata.combining(c))
    return " ".join("".join(letters).split())


def _kinds(tables: Iterable[Mapping[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:  # the first table that has a name says what it opens
        for kind, names in table.items():
            for name in names.split("|"):
                found.setdefault(plain(name), kind)
    return found


@dataclass(frozen=True)
class Headers:
    """Known headers.

    Attributes:
        kinds: name, as `plain` gives it -> kind of its section.
        any_case: True finds headers within a line in any case, and in brackets.
    """

    kinds: Mapping[str, str]
    any_case: bool

    def at_line_starts(self, text: str) -> str:
        """Return a text with a line break before each header that stands within a line."""
        text = _IN_CAPITALS.sub(r"\1\n\2:", text)
        if self.any_case:
            text = _IN_BRACKETS.sub(self._on_own_line, text)
            text = _AFTER_SENTENCE.sub(self._on_own_line, text)
        return text

    def _on_own_line(self, found: re.Match[str]) -> str:
        return f"\n{found[1]}:" if plain(found[1]) in self.kinds else found[0]


ENGLISH = Headers(_kinds([_ENGLISH_NAMES]), any_case=False)
ANY_HOSPITAL = Headers(_kinds([_ENGLISH_NAMES, *_FURTHER_NAMES]), any_case=True)

_ORDINARY = {"DATE", "STUDY", "VIEWS"}
"""Names that are ordinary words within a line."""
_IN_CAPITALS = re.compile(
    r"(?<=[a-z0-9.;:!?)_])(\s*)((?:"
    + "|".join(
        re.escape(name).replace(r"\ ", r"\s+")
        for name in sorted((n for n in ENGLISH.kinds if n not in _ORDINARY), key=len)[::-1]
    )
    + r")):"
)
_AFTER_SENTENCE = re.compile(
    r"(?<=[.;!?。；！？])[ ]*([^\W\d_][^\n.:;!?：。；！？]{1,40}?)[ ]*[:：]"
)
_IN_BRACKETS = re.compile(r"[【［〔]\s*([^】］〕\n]{1,40}?)\s*[】］〕]\s*[:：]?")
