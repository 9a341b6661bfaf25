"""Sections of free-text radiology reports, by rules of this project.

    report --lines--> known headers --> sections: findings, impression, others
           --other sections--> the first paragraph is dropped; wet reads and addenda as a whole
           --text that remains without a header--> last paragraph, the fallback
    pair_text: impression, then findings; the last paragraph if there is neither

A header is a known name at the start of a line, in upper or lower case, followed by a colon or
alone on its line; in capitals and with a colon it may also occur within the text. FINDINGS and
IMPRESSION are recognised with a letter or two wrong. A title such as `PORTABLE AP CHEST:` opens the
findings. Any other words with a colon (`Lungs: clear`) are content.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

from training.data.text.report_cleaning import MIN_WORDS, clean, join, join_sentences, words

MAX_CHARACTERS = 100_000
"""Longest report; text after it is ignored."""

_FINDINGS, _IMPRESSION, _BOTH, _OTHER, _DROPPED = "findings", "impression", "both", "other", "drop"

_NAMES = {
    _FINDINGS: "FINDINGS|FINDING|RADIOGRAPHIC FINDINGS|CHEST FINDINGS",
    _IMPRESSION: "IMPRESSION|IMPRESSIONS|CONCLUSION|CONCLUSIONS|INTERPRETATION|OPINION"
    "|IMPRESSION AND RECOMMENDATION|IMPRESSION AND RECOMMENDATIONS|FINAL IMPRESSION",
    _BOTH: "FINDINGS AND IMPRESSION|FINDINGS IMPRESSION|IMPRESSION AND FINDINGS"
    "|IMPRESSION FINDINGS|FINDINGS AND IMPRESSIONS|FINDINGS AND CONCLUSION",
    _OTHER: "EXAM|EXAMINATION|EXAMINATIONS|STUDY|TYPE OF EXAM|TYPE OF STUDY|PROCEDURE"
    "|PROCEDURE COMMENTS|TECHNIQUE|TECHNIQUES|INDICATION|INDICATIONS|HISTORY|CLINICAL HISTORY"
    "|CLINICAL INFORMATION|CLINICAL INDICATION|CLINICAL DATA|MEDICAL CONDITION|REASON"
    "|REASON FOR EXAM|REASON FOR EXAMINATION|REASON FOR STUDY|REASON FOR THE STUDY"
    "|REASON FOR THIS EXAM|REASON FOR THIS EXAMINATION|COMPARISON|COMPARISONS|COMPARISON STUDY"
    "|COMPARED TO|PRIOR STUDY|PRIOR STUDIES|VIEWS|DATE|DATE OF EXAM|NARRATIVE|NOTIFICATION"
    "|NOTIFICATIONS|RECOMMENDATION|RECOMMENDATIONS|COMMUNICATION|SUMMARY|ACCESSION NUMBER"
    "|ATTESTATION|DICTATED BY|SIGNED BY|ELECTRONICALLY SIGNED BY|END OF IMPRESSION|FINAL REPORT",
    _DROPPED: "WET READ|PRELIMINARY REPORT|PRELIMINARY READ|ADDENDUM|FINAL ADDENDUM|ADDENDA",
}
_KIND_OF_HEADER = {name: kind for kind, names in _NAMES.items() for name in names.split("|")}
_FUZZY = ("FINDINGS", "IMPRESSION")
_MIN_SIMILARITY = 0.87
"""Smallest similarity ratio of a misspelt header."""

_LINE_HEADER = re.compile(r"\s*([A-Za-z][A-Za-z ,/&()'-]{2,60}?)(?:\s*:|\s+-\s|\s*$)")
_WITHIN = re.compile(
    r"(?<=[a-z0-9.;:!?)_])(\s*)((?:"
    + "|".join(
        re.escape(name).replace(r"\ ", r"\s+")
        for name in sorted(
            (n for n in _KIND_OF_HEADER if n not in {"DATE", "STUDY", "VIEWS"}), key=len
        )[::-1]
    )
    + r")):"
)
_TITLE = re.compile(r"\b(CHEST|RADIOGRAPHS?|VIEWS?|X-?RAYS?|CXR)\b")
_RULE = re.compile(r"(?=\s*[_=*-]{4})[_=*\s-]+")
_FINAL = re.compile(r"^\s*(?:FINAL|MAIN) REPORT\s*$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]")

_BOILERPLATE = re.compile(
    r"personally reviewed|electronically signed|dictated (?:by|and)|report has been anonymized"
    r"|discussed (?:with|by)\b.{0,200}\b(?:telephone|phone|Dr)"
    r"|(?:were|was) (?:notified|paged|telephoned)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Sections:
    """Cleaned text of the sections of one report; a missing section is ""."""

    findings: str
    impression: str
    last_paragraph: str
    """Last paragraph without a known header, or after the first paragraph of another section."""


@dataclass(frozen=True)
class _Block:
    """The kind of a header ("" before the first header) and the lines below it."""

    kind: str
    lines: list[str]

    def paragraphs(self) -> list[str]:
        """Return the cleaned paragraphs that contain words and are not titles."""
        found, current = [], list[str]()
        for line in [*self.lines, ""]:
            if line.strip():
                current.append(line)
            elif current:
                found.append(clean("\n".join(current)))
                current = []
        return [text for text in found if words(text) and not _is_title(text)]


def pair_text(report: str) -> str:
    """Return the text of a report that is paired with its image, or "" if it is empty.

    Source: the paper pairs impression and findings (arXiv 2312.01522, section 4.1).
    """
    found = sections(report)
    return join(found.impression, found.findings) or found.last_paragraph


def any_text(text: str) -> str:
    """Return `pair_text`, or the whole text if it has no known header."""
    blocks = list(_blocks(_lines(text)))
    if any(block.kind for block in blocks):
        return pair_text(text)
    return join_sentences(paragraph for block in blocks for paragraph in block.paragraphs())


def sections(report: str) -> Sections:
    """Split a report into sections and clean each of them."""
    blocks = list(_blocks(_lines(report)))
    named = {
        kind: join_sentences(p for b in blocks if b.kind in (kind, _BOTH) for p in b.paragraphs())
        for kind in (_FINDINGS, _IMPRESSION)
    }
    rest = [text for block in blocks for text in _without_header(block)]
    usable = [t for t in rest if words(t) >= MIN_WORDS and not _BOILERPLATE.search(t)]
    return Sections(named[_FINDINGS], named[_IMPRESSION], usable[-1] if usable else "")


def _without_header(block: _Block) -> list[str]:
    """Return paragraphs that may be the body of a report without a findings header."""
    if block.kind == _OTHER:
        first = next((i for i, line in enumerate(block.lines) if line.strip()), 0)
        ends = (i for i, line in enumerate(block.lines) if i > first and not line.strip())
        return _Block("", block.lines[next(ends, len(block.lines)) :]).paragraphs()
    return block.paragraphs() if block.kind == "" else []


def _lines(report: str) -> list[str]:
    """Split into lines without control characters, with every header at the start of a line."""
    text = re.sub(r"\r\n?|\f|\v|\u2028|\u0085", "\n", report[:MAX_CHARACTERS])
    text = _CONTROL.sub("", text)
    text = re.sub(r"[\t\u00a0]", " ", text)
    return _WITHIN.sub(r"\1\n\2:", text).split("\n")


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """Group lines into blocks below one header. A rule or `FINAL REPORT` ends a wet read."""
    kind, body = "", list[str]()
    for line in lines:
        if _RULE.fullmatch(line) or _FINAL.match(line):
            yield _Block(kind, body)
            kind, body = "" if kind == _DROPPED else kind, []
            continue
        header = _LINE_HEADER.match(line)
        found = _kind(header[1], line, header.end()) if header else ""
        if header and found:
            yield _Block(kind, body)
            kind, body = found, [line[header.end() :]]
        else:
            body.append(line)
    yield _Block(kind, body)


def _kind(name: str, line: str, end: int) -> str:
    """Return the kind of a header, or "" if the words at the start of a line are not one."""
    plain = " ".join(re.sub(r"[^A-Z]+", " ", name.upper().replace("&", " AND ")).split())
    colon = line[:end].rstrip().endswith(":")
    if found := _KIND_OF_HEADER.get(plain) or _KIND_OF_HEADER.get(
        plain.removesuffix(" S")
    ):  # RECOMMENDATION(S)
        return found
    if colon and (found := _misspelt(plain)):
        return found
    has_text = bool(line[end:].strip())
    return _FINDINGS if colon and has_text and name.isupper() and _TITLE.search(name) else ""


@cache
def _misspelt(plain: str) -> str:
    """Return the kind of a misspelt header, or ""."""
    for right in _FUZZY:
        comparable = plain[:1] == right[0] and abs(len(plain) - len(right)) <= 2
        if comparable and SequenceMatcher(None, plain, right).ratio() >= _MIN_SIMILARITY:
            return _KIND_OF_HEADER[right]
    return ""


def _is_title(text: str) -> bool:
    """Return whether a text is a title in capitals, such as `AP CHEST, 5:30 A.M.`."""
    if any(letter.islower() for letter in text):
        return False
    return bool(_TITLE.search(text)) and not re.search(r"[A-Z]{3,}[.!?]", text)
