"""Free-text radiology reports -> the text that is paired with the image. Rules of our own.

    report --lines--> headers, known by name --> sections: findings, impression, others
           --others--> their first paragraph goes; wet reads and addenda go as a whole
           --what is left without a header--> last paragraph, the fallback
    pair_text: impression, then findings; the last paragraph where there is neither

A header is a known name at the start of a line, in any spelling of upper and lower case, with a
colon or alone on its line; in capitals and with a colon it may stand within the text too.
Findings and impression are known with a letter or two wrong. A title such as `PORTABLE AP CHEST:`
opens the findings. Any other words with a colon (`Lungs: clear`) are content.

Cleaning takes out marks of de-identification, list numbers, rules and line wraps, and leaves the
wording alone: case, numbers and punctuation are the tokenizer's matter.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

MIN_WORDS = 3
"""A shorter report says too little to be told from others in a batch."""
MAX_CHARACTERS = 100_000
"""What comes after is not read: no report is that long."""

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
_KIND = {name: kind for kind, names in _NAMES.items() for name in names.split("|")}
_FUZZY = ("FINDINGS", "IMPRESSION")
_LIKENESS = 0.87

_LINE_HEADER = re.compile(r"\s*([A-Za-z][A-Za-z ,/&()'-]{2,60}?)(?:\s*:|\s+-\s|\s*$)")
_WITHIN = re.compile(
    r"(?<=[a-z0-9.;:!?)_])(\s*)((?:"
    + "|".join(
        re.escape(name).replace(r"\ ", r"\s+")
        for name in sorted((n for n in _KIND if n not in {"DATE", "STUDY", "VIEWS"}), key=len)[::-1]
    )
    + r")):"
)
_TITLE = re.compile(r"\b(CHEST|RADIOGRAPHS?|VIEWS?|X-?RAYS?|CXR)\b")
_RULE = re.compile(r"(?=\s*[_=*-]{4})[_=*\s-]+")
_FINAL = re.compile(r"^\s*(?:FINAL|MAIN) REPORT\s*$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]")

_IDENTITY = re.compile(r"\[\*\*[^\[\]]*\]|_{2,}|\bX{4,}\b")
_NUMBERED = re.compile(r"\s*(?:\(?(\d{1,2})[.)](?:\s+|(?=[A-Za-z])))")
_BULLET = re.compile(r"\s*[-*•]\s+")
_INLINE_ITEM = re.compile(r"(?<=[.;:])\s+\(?\d{1,2}[.)]\s*(?=[A-Z])")
_BOILERPLATE = re.compile(
    r"personally reviewed|electronically signed|dictated (?:by|and)|report has been anonymized"
    r"|discussed (?:with|by)\b.{0,200}\b(?:telephone|phone|Dr)"
    r"|(?:were|was) (?:notified|paged|telephoned)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Sections:
    """Cleaned text of the sections of one report; "" where a section is not there."""

    findings: str
    impression: str
    last_paragraph: str
    """Of what stands under no known header, or after the first paragraph of another section."""


@dataclass(frozen=True)
class _Block:
    """A header's kind ("" before the first header) and the lines under it."""

    kind: str
    lines: list[str]

    def paragraphs(self) -> list[str]:
        """Cleaned paragraphs that hold any word, titles left out."""
        found, current = [], list[str]()
        for line in [*self.lines, ""]:
            if line.strip():
                current.append(line)
            elif current:
                found.append(clean("\n".join(current)))
                current = []
        return [text for text in found if words(text) and not _is_title(text)]


def pair_text(report: str) -> str:
    """What the text encoder reads of a report, or "" where it says nothing.

    Source: the paper pairs impression and findings (arXiv 2312.01522, section 4.1).
    """
    found = sections(report)
    return join(found.impression, found.findings) or found.last_paragraph


def any_text(text: str) -> str:
    """As `pair_text`; a text without any known header is no sectioned report and taken whole."""
    blocks = list(_blocks(_lines(text)))
    if any(block.kind for block in blocks):
        return pair_text(text)
    return join_sentences(paragraph for block in blocks for paragraph in block.paragraphs())


def join(impression: str, findings: str) -> str:
    """Impression, then findings; once if they are the same."""
    return join_sentences(dict.fromkeys(text for text in (impression, findings) if text))


def reason_too_short(text: str) -> str:
    """Why a text cannot be paired with an image, or "" if it can."""
    count = words(text)
    if count == 0:
        return "empty report"
    return f"report shorter than {MIN_WORDS} words" if count < MIN_WORDS else ""


def words(text: str) -> int:
    """Words, those that hold a letter."""
    return sum(any(letter.isalpha() for letter in word) for word in text.split())


def sections(report: str) -> Sections:
    """Split a report into sections and clean each."""
    blocks = list(_blocks(_lines(report)))
    named = {
        kind: join_sentences(p for b in blocks if b.kind in (kind, _BOTH) for p in b.paragraphs())
        for kind in (_FINDINGS, _IMPRESSION)
    }
    rest = [text for block in blocks for text in _without_header(block)]
    usable = [t for t in rest if words(t) >= MIN_WORDS and not _BOILERPLATE.search(t)]
    return Sections(named[_FINDINGS], named[_IMPRESSION], usable[-1] if usable else "")


def _without_header(block: _Block) -> list[str]:
    """Paragraphs that may be the body of a report that names no findings."""
    if block.kind == _OTHER:
        first = next((i for i, line in enumerate(block.lines) if line.strip()), 0)
        ends = (i for i, line in enumerate(block.lines) if i > first and not line.strip())
        return _Block("", block.lines[next(ends, len(block.lines)) :]).paragraphs()
    return block.paragraphs() if block.kind == "" else []


def _lines(report: str) -> list[str]:
    """Lines without control characters; headers within the text stand on lines of their own."""
    text = re.sub(r"\r\n?|\f|\v|\u2028|\u0085", "\n", report[:MAX_CHARACTERS])
    text = _CONTROL.sub("", text)
    text = re.sub(r"[\t\u00a0]", " ", text)
    return _WITHIN.sub(r"\1\n\2:", text).split("\n")


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """Lines -> blocks, each under one header. A rule or `FINAL REPORT` ends a wet read."""
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
    """What a header is called, or "" if the words at the start of a line are no header."""
    plain = " ".join(re.sub(r"[^A-Z]+", " ", name.upper().replace("&", " AND ")).split())
    colon = line[:end].rstrip().endswith(":")
    if found := _KIND.get(plain) or _KIND.get(plain.removesuffix(" S")):  # RECOMMENDATION(S)
        return found
    if colon and (found := _misspelt(plain)):
        return found
    has_text = bool(line[end:].strip())
    return _FINDINGS if colon and has_text and name.isupper() and _TITLE.search(name) else ""


@cache
def _misspelt(plain: str) -> str:
    for right in _FUZZY:
        alike = plain[:1] == right[0] and abs(len(plain) - len(right)) <= 2
        if alike and SequenceMatcher(None, plain, right).ratio() >= _LIKENESS:
            return _KIND[right]
    return ""


def _is_title(text: str) -> bool:
    """Whether it is in capitals and no sentence, such as `AP CHEST, 5:30 A.M.` is."""
    if any(letter.islower() for letter in text):
        return False
    return bool(_TITLE.search(text)) and not re.search(r"[A-Z]{3,}[.!?]", text)


def clean(text: str) -> str:
    """One paragraph or section as running text.

    Marks of de-identification (`___`, `[**...**]`, `XXXX`), list numbers, bullets and line wraps
    go; the items of a list become sentences. A number at the start of a line is an item's only
    where a sentence ended before it or the count goes on: `tip at T` / `4. Clear.` keeps its 4.
    """
    running, count = "", 0
    for line in text.split("\n"):
        ended = not running or running[-1] in ".!?:;"
        number, bullet = _NUMBERED.match(line), _BULLET.match(line)
        if number and (ended or int(number[1]) == count + 1 > 1):
            count, line = int(number[1]), line[number.end() :]
        elif bullet:
            line = line[bullet.end() :]
        else:
            ended = True
        running = f"{running}{'' if ended else '.'} {line.strip()}".strip()
    return _tidy(_IDENTITY.sub(" ", _INLINE_ITEM.sub(" ", running)))


def _tidy(text: str) -> str:
    """Single spaces, none before punctuation, no doubled or leading punctuation."""
    text = re.sub(r"\( ?[,;]? ?\)|\[ ?\]", " ", " ".join(text.split()))
    text = re.sub(r"\s+([.,;:!?)])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\.|\.{2,}", ".", text)
    return re.sub(r"^[\s.,;:)\]-]+", "", " ".join(text.split()))


def join_sentences(paragraphs: Iterable[str]) -> str:
    """Paragraphs as one text; one that does not end as a sentence gets a full stop."""
    texts = list(paragraphs)
    ended = [t if t[-1] in ".!?:;" else f"{t}." for t in texts[:-1]]
    return " ".join([*ended, *texts[-1:]])
