"""Wordings and what they mean: what the text encoder learns without images.

further wording of an organ or finding --means--> its plain wording
further phrase for what is not there, or
not located, such as a bone -------------means--> a trained phrase that resembles it
trained wording or sentence -------------means--> itself, so that it stays where it is

Requests, settings and spelling mistakes are put around and into further wordings. No wording of
`unseen_wordings` is drawn.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.data.text.phrases import grounding_phrases
from training.data.text.phrases.grounding_phrases import (
    FINDING_SIDES,
    FINDING_ZONES,
    OTHER,
    SHORT,
    ZONES,
)
from training.data.text.phrases.unseen_wordings import (
    DEVELOPMENT,
    HELD_OUT,
    HELD_OUT_ELSEWHERE,
)
from training.data.text.phrases.wordings.absent import ABSENT_WORDINGS
from training.data.text.phrases.wordings.elsewhere import ELSEWHERE_WORDINGS
from training.data.text.phrases.wordings.heart import HEART
from training.data.text.phrases.wordings.lung_findings import LUNG_FINDINGS
from training.data.text.phrases.wordings.lung_names import LUNG_NAMES
from training.data.text.phrases.wordings.lungs import (
    LUNG_DETAILS,
    LUNG_HEADS,
    LUNG_NOUNS,
    SIDED_LUNGS,
)
from training.data.text.phrases.wordings.other_findings import OTHER_FINDINGS
from training.data.text.zero_shot_prompts import WORDINGS, prompts_of

REQUESTS = (
    "where is {}?", "where is {}", "where's {}", "where does {} lie?", "show {}", "show me {}",
    "please show {}", "pls show {}", "find {}", "please find {}", "locate {}", "localise {}",
    "localize {}", "identify {}", "point to {}", "point at {}", "point out {}", "mark {}",
    "please mark {}", "highlight {}", "outline {}", "delineate {}", "contour {}", "segment {}",
    "segmentation of {}", "draw {}", "trace {}", "label {}", "annotate {}", "select {}",
    "circle {}", "box around {}", "bounding box of {}", "region of interest: {}", "ROI {}",
    "i need {}", "i am looking for {}", "looking for {}", "can you see {}?", "can you show {}?",
    "could you mark {}?", "is this {}?", "which part is {}?", "area of {}", "location of {}",
    "position of {}", "extent of {}", "full extent of {}", "look at {}", "zoom in on {}",
    "i want {}", "give me {}", "want to see {}", "display {}", "heat map of {}", "map of {}",
)  # fmt: skip
"""Requests; `{}` is what is asked for."""
SETTINGS = (
    "{} please", "{}, please", "{} pls", "{} on x-ray", "{} on this x-ray", "{} on the chest x-ray",
    "{} on CXR", "{} in this image", "{} in the picture", "{} on the frontal film", "{} on AP view",
    "{} in PA view", "{} on this radiograph", "{} in the radiograph", "{} only", "only {}",
    "just {}", "{} here", "{} in this patient", "{} visible", "{} region", "{} area",
    "frontal view, {}", "AP film: {}", "chest: {}", "{} thx", "{} as seen here",
    "{} of this patient", "{} now",
)  # fmt: skip
"""What may surround a wording; `{}` is the wording."""
_LEAST_LETTERS = 5
"""Letters of a word from which a spelling mistake may be made in it."""
FINDING_WORDINGS = {**LUNG_FINDINGS, **OTHER_FINDINGS}
"""Plain wording of a finding -> other wordings."""
_SIDED = frozenset(FINDING_WORDINGS) - {"cardiomegaly"}
"""Findings that a phrase may place on one side."""
_PLAIN = (
    "left lung",
    "right lung",
    "heart",
    *sorted(FINDING_WORDINGS),
    "consolidation",
    "pulmonary edema",
)
_SENTENCES = tuple(
    sentence
    for finding in sorted(WORDINGS)
    for kind in (prompts_of(finding).positive, prompts_of(finding).negative)
    for sentence in kind
)


@dataclass(frozen=True)
class Wording:
    """A text and another one that means the same.

    Attributes:
        text: the wording that is learned.
        meaning: a text whose features it is to have.
    """

    text: str
    meaning: str


def plain_form(text: str) -> str:
    """Return a text without case, spaces around it and signs at its end, to compare it by."""
    return text.lower().strip().rstrip(".?! ")


_UNSEEN = frozenset(
    plain_form(text)
    for held in (DEVELOPMENT, HELD_OUT, {"elsewhere": HELD_OUT_ELSEWHERE})
    for texts in held.values()
    for text in texts
)
_ELSEWHERE = frozenset(plain_form(text) for texts in ELSEWHERE_WORDINGS.values() for text in texts)


def draw_anchors(count: int, rng: random.Random) -> list[Wording]:
    """Draw texts that the heads know, or that reports are made of; each means itself.

    An eighth are plain wordings, which the further ones are to mean. Trained phrases of what the
    model does not locate, such as ribs, are none: they learn another meaning.

    Args:
        count: number of texts.
        rng: source of randomness.
    """
    plain, sentences = count // 8, count // 4
    trained: list[str] = []
    while len(trained) < (wanted := count - plain - sentences):
        drawn = [phrase.text for phrase in grounding_phrases.draw(wanted, rng)]
        trained += [text for text in drawn if plain_form(text) not in _ELSEWHERE]
    known = trained[:wanted] + rng.choices(_SENTENCES, k=sentences)
    exact = [Wording(text, text) for text in rng.choices(_PLAIN, k=plain)]
    spelt = [(_misspelt(text, rng, share=0.1), text) for text in known]
    return exact + [Wording(t if plain_form(t) not in _UNSEEN else text, text) for t, text in spelt]


def draw_paraphrases(count: int, rng: random.Random) -> list[Wording]:
    """Draw further wordings.

    Args:
        count: number of wordings.
        rng: source of randomness.
    """
    found: list[Wording] = []
    while len(found) < count:
        (kind,) = rng.choices(list(_KINDS), list(_KINDS.values()))
        drawn = kind(rng)
        text = _misspelt(_surrounded(drawn.text, rng), rng, share=0.2)
        if not {plain_form(text), plain_form(drawn.text)} & _UNSEEN:
            found.append(Wording(text, drawn.meaning))
    return found


def _lung(rng: random.Random) -> Wording:
    side = rng.choice(sorted(OTHER))
    concept = f"{side} lung"
    kind = rng.random()
    if kind < 0.4:
        form, noun = rng.choice(SIDED_LUNGS), rng.choice(LUNG_NOUNS)
        names = {"initial": side[0].upper(), "short": SHORT[side], "other": OTHER[side]}
        return Wording(form.format(side=side, noun=noun, **names), concept)
    if kind < 0.65:
        return Wording(f"{rng.choice(LUNG_HEADS)} {rng.choice(LUNG_DETAILS[concept])}", concept)
    return Wording(rng.choice(LUNG_NAMES[concept]), concept)


def _heart(rng: random.Random) -> Wording:
    return Wording(rng.choice(HEART), "heart")


def _finding(rng: random.Random) -> Wording:
    plain = rng.choice(sorted(FINDING_WORDINGS))
    text = rng.choice(FINDING_WORDINGS[plain])
    if plain not in _SIDED or rng.random() > 1 / 3:
        return Wording(text, plain)
    side = rng.choice(sorted(OTHER))
    form = rng.choice(FINDING_SIDES + FINDING_ZONES)
    zone = rng.choice(ZONES[rng.choice(sorted(ZONES))])
    placed, means = (form.format(side=side, zone=zone, finding=each) for each in (text, plain))
    return Wording(placed, means)


def _absent(rng: random.Random) -> Wording:
    meaning = rng.choice(sorted(ABSENT_WORDINGS))
    return Wording(rng.choice(ABSENT_WORDINGS[meaning]), meaning)


def _elsewhere(rng: random.Random) -> Wording:
    pairs = [(text, meaning) for meaning, texts in ELSEWHERE_WORDINGS.items() for text in texts]
    return Wording(*rng.choice(pairs))


_KINDS: dict[Callable[[random.Random], Wording], float] = {
    _lung: 0.4,
    _heart: 0.12,
    _finding: 0.24,
    _absent: 0.14,
    _elsewhere: 0.1,
}
"""Function that draws a wording -> its share."""


def _surrounded(text: str, rng: random.Random) -> str:
    """Return the text, often in a request or in a setting."""
    kind = rng.random()
    if kind < 0.3:
        article = "" if text.startswith("the ") else rng.choice(("", "the "))
        return rng.choice(REQUESTS).format(f"{article}{text}")
    if kind < 0.45:
        return rng.choice(SETTINGS).format(text)
    return f"{text}." if kind < 0.5 else text


def _misspelt(text: str, rng: random.Random, share: float) -> str:
    """Return the text, in the given share of cases with a mistake in one of its longer words."""
    words = text.split(" ")
    long = [n for n, word in enumerate(words) if len(word) >= _LEAST_LETTERS and word.isalpha()]
    if not long or rng.random() > share:
        return text
    number = rng.choice(long)
    word = words[number]
    at = rng.randrange(1, len(word) - 1)
    mistakes = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],  # two letters changed round
        word[:at] + word[at + 1 :],  # one left out
        word[:at] + word[at] + word[at:],  # one doubled
        word[:at] + rng.choice("aeiou") + word[at + 1 :],  # another vowel
    )
    words[number] = rng.choice(mistakes)
    return " ".join(words)
