"""Cleaning of report text, and the rule by which a text is long enough to train on.

Cleaning removes marks of de-identification, list numbers, bullets and line wraps, and leaves the
wording alone: case, numbers and punctuation are left to the tokenizer.
"""

import re
from collections.abc import Iterable

MIN_WORDS = 3
"""Smallest number of words of a report; shorter ones are too alike to contrast in a batch."""
MIN_LETTERS = 4
"""Smallest number of letters of a report in a script that does not divide words by spaces."""
# Thai, Lao, Tibetan, Burmese and Khmer; Japanese and Chinese
_UNSPACED = re.compile(
    r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_IDENTITY = re.compile(r"\[\*\*[^\[\]]*\]|_{2,}|\bX{4,}\b")
_NUMBERED = re.compile(r"\s*(?:[(（]?(\d{1,2})[.)、．）](?:\s+|(?=[^\W\d_])))")
_BULLET = re.compile(r"\s*[-*•]\s+")
_INLINE_ITEM = re.compile(
    r"(?<=[.;:])\s+\(?\d{1,2}[.)]\s*(?=[A-Z])|(?<=[。；：])\s*[(（]?\d{1,2}[.)、．）]\s*(?=[^\W\d_])"
)
_ENDS = tuple(".!?:;。！？：；")
"""Characters that end a sentence or an item of a list."""


def clean(text: str) -> str:
    """Return one paragraph or section as running text.

    Marks of de-identification (`___`, `[**...**]`, `XXXX`), list numbers, bullets and line wraps
    are removed; the items of a list become sentences. A number at the start of a line belongs to
    a list only if a sentence ended before it or it continues the count: `tip at T` / `4. Clear.`
    keeps its 4.
    """
    running, count = "", 0
    for line in text.split("\n"):
        ended = not running or running.endswith(_ENDS)
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
    return re.sub(r"^[\s.,;:)\]。、，；：-]+", "", " ".join(text.split()))


def join(impression: str, findings: str) -> str:
    """Return impression, then findings; only one of them if they are the same."""
    return join_sentences(dict.fromkeys(text for text in (impression, findings) if text))


def join_sentences(paragraphs: Iterable[str]) -> str:
    """Join paragraphs to one text, adding the full stops that are missing between them."""
    texts = list(paragraphs)
    ended = [t if t.endswith(_ENDS) else f"{t}." for t in texts[:-1]]
    return " ".join([*ended, *texts[-1:]])


def words(text: str) -> int:
    """Return the number of words, counting those with a letter."""
    return sum(any(letter.isalpha() for letter in word) for word in text.split())


def is_long_enough(text: str) -> bool:
    """Return whether a text is long enough to train on."""
    return words(text) >= MIN_WORDS or _unspaced_letters(text) >= MIN_LETTERS


def _unspaced_letters(text: str) -> int:
    return sum(letter.isalpha() for letter in _UNSPACED.findall(text))


def reason_too_short(text: str, report: str = "") -> str:
    """Return the reason why a text is too short to train on, or "".

    Args:
        text: text that the rules took from a report.
        report: the report itself, to tell an empty one from one without usable sections.
    """
    if is_long_enough(text):
        return ""
    if not words(text):
        return "no findings and no impression in the report" if words(report) else "empty report"
    if _unspaced_letters(text):
        return f"report shorter than {MIN_LETTERS} letters"
    return f"report shorter than {MIN_WORDS} words"
