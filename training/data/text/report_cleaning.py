"""Cleaning of report text, and the rule by which a text is long enough to train on.

Cleaning removes marks of de-identification, list numbers, bullets and line wraps, and leaves the
wording alone: case, numbers and punctuation are left to the tokenizer.
"""

import re
from collections.abc import Iterable

MIN_WORDS = 3
"""Smallest number of words of a report; shorter ones are too alike to contrast in a batch."""
_IDENTITY = re.compile(r"\[\*\*[^\[\]]*\]|_{2,}|\bX{4,}\b")
_NUMBERED = re.compile(r"\s*(?:\(?(\d{1,2})[.)](?:\s+|(?=[A-Za-z])))")
_BULLET = re.compile(r"\s*[-*•]\s+")
_INLINE_ITEM = re.compile(r"(?<=[.;:])\s+\(?\d{1,2}[.)]\s*(?=[A-Z])")


def clean(text: str) -> str:
    """Return one paragraph or section as running text.

    Marks of de-identification (`___`, `[**...**]`, `XXXX`), list numbers, bullets and line wraps
    are removed; the items of a list become sentences. A number at the start of a line belongs to
    a list only if a sentence ended before it or it continues the count: `tip at T` / `4. Clear.`
    keeps its 4.
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
    """Normalise spaces, and remove doubled or leading punctuation."""
    text = re.sub(r"\( ?[,;]? ?\)|\[ ?\]", " ", " ".join(text.split()))
    text = re.sub(r"\s+([.,;:!?)])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\.|\.{2,}", ".", text)
    return re.sub(r"^[\s.,;:)\]-]+", "", " ".join(text.split()))


def join(impression: str, findings: str) -> str:
    """Return impression, then findings; only one of them if they are the same."""
    return join_sentences(dict.fromkeys(text for text in (impression, findings) if text))


def join_sentences(paragraphs: Iterable[str]) -> str:
    """Join paragraphs to one text, adding the full stops that are missing between them."""
    texts = list(paragraphs)
    ended = [t if t[-1] in ".!?:;" else f"{t}." for t in texts[:-1]]
    return " ".join([*ended, *texts[-1:]])


def words(text: str) -> int:
    """Return the number of words, counting those with a letter."""
    return sum(any(letter.isalpha() for letter in word) for word in text.split())


def reason_too_short(text: str) -> str:
    """Return the reason why a text is too short to train on, or ""."""
    count = words(text)
    if count == 0:
        return "empty report"
    return f"report shorter than {MIN_WORDS} words" if count < MIN_WORDS else ""
