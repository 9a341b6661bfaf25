"""Sections of free-text radiology reports, by rules of this project.

    report --lines--> known headers (`report_headers`) --> sections: findings, impression, others
           --other sections--> the first paragraph is dropped; wet reads and addenda as a whole
           --text that remains without a header--> last paragraph, the fallback
    pair_text: impression, then findings; the last paragraph if there is neither
    any_text: the same for reports of any hospital, and the whole text where no header is known

FINDINGS and IMPRESSION are recognised with a letter or two wrong. A title such as `PORTABLE AP
CHEST:` opens the findings. Any other words with a colon (`Lungs: clear`) are content.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

from training.data.text.report_cleaning import (
    clean,
    is_long_enough,
    join,
    join_sentences,
    words,
)
from training.data.text.report_headers import (
    ANY_HOSPITAL,
    BOTH,
    DROPPED,
    ENGLISH,
    FINDINGS,
    IMPRESSION,
    OTHER,
    Headers,
    plain,
)

MAX_CHARACTERS = 100_000
"""Longest report; text after it is ignored."""

_FUZZY = ("FINDINGS", "IMPRESSION")
_MIN_SIMILARITY = 0.87
"""Smallest similarity ratio of a misspelt header."""

_LINE_HEADER = re.compile(
    r"\s*([^\W\d_](?:[^\W\d_]|[ ,/&()'-]){2,60}?|[\u3040-\u9fff]{2})(?:\s*[:：]|\s+-\s|\s*$)"
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


def any_text(report: str) -> str:
    """Return the text of a report of any hospital that is paired with its image.

    It is `pair_text`, but with the headers of several languages. A text without a known header is
    taken whole; so is text without a header where findings and impression are too short alone.
    """
    blocks = list(_blocks(report, ANY_HOSPITAL))
    free = join_sentences(p for block in blocks if not block.kind for p in block.paragraphs())
    if not any(block.kind for block in blocks):
        return free
    found = _sections(blocks)
    paired = join(found.impression, found.findings)
    if not is_long_enough(paired):
        paired = join(paired, free)
    return paired or found.last_paragraph


def sections(report: str) -> Sections:
    """Split a report into sections and clean each of them."""
    return _sections(list(_blocks(report, ENGLISH)))


def _sections(blocks: list[_Block]) -> Sections:
    named = {
        kind: join_sentences(p for b in blocks if b.kind in (kind, BOTH) for p in b.paragraphs())
        for kind in (FINDINGS, IMPRESSION)
    }
    rest = [text for block in blocks for text in _without_header(block)]
    usable = [t for t in rest if is_long_enough(t) and not _BOILERPLATE.search(t)]
    return Sections(named[FINDINGS], named[IMPRESSION], usable[-1] if usable else "")


def _without_header(block: _Block) -> list[str]:
    """Return paragraphs that may be the body of a report without a findings header."""
    if block.kind == OTHER:
        first = next((i for i, line in enumerate(block.lines) if line.strip()), 0)
        ends = (i for i, line in enumerate(block.lines) if i > first and not line.strip())
        return _Block("", block.lines[next(ends, len(block.lines)) :]).paragraphs()
    return block.paragraphs() if block.kind == "" else []


def _lines(report: str, headers: Headers) -> list[str]:
    """Split into lines without control characters, with every header at the start of a line."""
    text = re.sub(r"\r\n?|\f|\v|\u2028|\u0085", "\n", report[:MAX_CHARACTERS])
    text = _CONTROL.sub("", text)
    text = re.sub(r"[\t\u00a0\u202f\u3000]", " ", text)
    return headers.at_line_starts(text).split("\n")


def _blocks(report: str, headers: Headers) -> Iterator[_Block]:
    """Group lines into blocks below one header. A rule or `FINAL REPORT` ends a wet read."""
    kind, body = "", list[str]()
    for line in _lines(report, headers):
        if _RULE.fullmatch(line) or _FINAL.match(line):
            yield _Block(kind, body)
            kind, body = "" if kind == DROPPED else kind, []
            continue
        header = _LINE_HEADER.match(line)
        found = _kind(header[1], line, header.end(), headers) if header else ""
        if header and found:
            yield _Block(kind, body)
            kind, body = found, [line[header.end() :]]
        else:
            body.append(line)
    yield _Block(kind, body)


def _kind(name: str, line: str, end: int, headers: Headers) -> str:
    """Return the kind of a header, or "" if the words at the start of a line are not one."""
    bare, kinds = plain(name), headers.kinds
    colon = line[:end].rstrip().endswith((":", "\uff1a"))
    if found := kinds.get(bare) or kinds.get(bare.removesuffix(" S")):  # RECOMMENDATION(S)
        return found
    if colon and (found := _misspelt(bare)):
        return found
    has_text = bool(line[end:].strip())
    return FINDINGS if colon and has_text and name.isupper() and _TITLE.search(name) else ""


@cache
def _misspelt(name: str) -> str:
    """Return the kind of a misspelt header, or ""."""
    for right in _FUZZY:
        comparable = name[:1] == right[0] and abs(len(name) - len(right)) <= 2
        if comparable and SequenceMatcher(None, name, right).ratio() >= _MIN_SIMILARITY:
            return ENGLISH.kinds[right]
    return ""


def _is_title(text: str) -> bool:
    """Return whether a text is a title in capitals, such as `AP CHEST, 5:30 A.M.`."""
    if any(letter.isalpha() and not letter.isupper() for letter in text):
        return False
    return bool(_TITLE.search(text)) and not re.search(r"[A-Z]{3,}[.!?]", text)
