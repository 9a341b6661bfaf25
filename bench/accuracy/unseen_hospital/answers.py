"""Truth about a radiograph from the answers that clinicians gave to questions about it.

question and answer --> statements: a topic is present or absent --joined--> `Truth`

Answers are free text, and the questions were chosen by what the image shows, so the rule is strict:

- A question with the answer yes or no states the topics that it names. "Normal", "sharp" and the
  like turn its meaning round. The question itself states what it takes for granted ("Is this
  lesion loculated?"), whatever the answer.
- A question with another answer states the topics that it and the answer name, if either names
  something abnormal; "How can you tell there is no pneumothorax?" states its absence.
- A denial for one place or kind ("in the left lung", "a tension pneumothorax") says nothing of the
  rest, so it does not count. General questions, and what lies outside of the chest, do not either.
- A topic that is stated as present and as absent is unclear. A radiograph is abnormal if any topic
  is present; normal if none is present or unclear, and it is called normal or at least `DENIED`
  topics are absent; else nothing is known of it. All findings of a normal one are absent.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DENIED = 2
"""Smallest number of abnormalities that are denied of a radiograph that is taken for normal."""
IMAGE = "image"
OPACITY = "Lung opacity"
PARTS = ("Consolidation", "Infiltration")
"""Findings that are opacities too; a radiograph without them may show another opacity."""


def _compiled(patterns: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(pattern) for name, pattern in patterns.items()}


FINDINGS = _compiled(
    {
        "Pneumothorax": r"pn\w+thorax",
        "Effusion": r"(?<!pericardial )effusion|hydropneumothorax",
        "Cardiomegaly": r"cardiomegaly|width of the cardiac|(heart|cardiac silhouette)\b.*\b"
        r"(enlarged|big|dilated|large|size|less than half)",
        OPACITY: r"(?<!pleural )opaci",
        "Consolidation": r"consolidat",
        "Infiltration": r"infiltrat",
        "Nodule": r"\bnodules?\b",
        "Mass": r"\bmass(es)?\b",
        "Edema": r"edema|[ck]\w+ b lines",
        "Pneumonia": r"pneumonia",
        "Atelectasis": r"atelecta|collapse",
    }
)
"""Finding, as the model names it -> words that name it."""
_OTHERS = _compiled(
    {
        IMAGE: r"(image|x-?ray|film) (ab)?normal|normal (x-?ray|physiology)|healthy|"
        r"there an abnormality|wrong in",
        "free air": r"pneumoperitoneum|pneumomediastinum|free air|diaphragmatic air|air under|"
        r"subcutaneous (air|tissue)|air in the abd",
        "fracture": r"fractur|broken",
        "lymph nodes": r"adenopathy|lymph nodes|\bhil(a|um|ums|ar)\b",
        "trachea": r"\btrachea|midline shift",
        "inflation": r"inflat|aeration|increased in size",
        "angle": r"(costo|chostro)\w+ angle",
        "diaphragm": r"diaphragm",
        "vessels": r"aort|arter|\bvascul|vessel",
        "mediastinum": r"mediasti",
        "heart": r"heart|cardiac|cardiomyopathy",
        "lungs": r"lungs?\b.*(normal|clear|affected|opaque|white)|(wrong|abnormality).*lungs|"
        r"pulmonary (finding|patholog)|interstitial|markings increased",
        "lesion": r"lesion",
        "airways": r"airways",
        "fluid": r"fluid",
        "ribs": r"\bribs\b",
    }
)
"""Topics that the model does not answer; the first that is named counts."""
_ABNORMAL = re.compile(
    r"abnormal|lesion|pathology|defect|deviat|shifted|elevat|depressed|hyperinflat|wrong|fractured|"
    r"widen|blunt|free air|air under|silhouetting|enlarged|nodular|bullous|pleural opaci"
)
"""Words of an open question or its answer that say that something is not as it should be."""
_SOUND = re.compile(
    r"\b((?<!than )(?<!mirror image of )normal(ly)?|sharp|preserved|symm\w+|healthy|clear(ly)?|"
    r"equivalent|free of|no|less than half|(?<!from )midline(?! shift))\b"
)
"""Words that turn the meaning of yes and no round."""
_TAKEN_FOR_GRANTED = re.compile(
    r"\b(this|these|the|more tha[nt] one)( \w+)? (lesions?|opacit\w+|nodules|mass|pathology)\b"
)
_NO = re.compile(r"\b(no|absence of a?) ")
_LIMITED = re.compile(r"\b(left|right|apex|r|tension|calcif\w+)\b")
_OPEN = re.compile(r"^(what|which|where|how|why|describe|on|at|in|to) ")
_GENERAL = re.compile(
    r"^(can (this|x)|how do you|blunting|why is the right|what (is (a|better)|can|test|indicates a|"
    r"does the)\b)|than if|sufficient|enough|visible|visuali[sz]ed|obvious|displayed|obscured|"
    r"delineate|position|\bekg\b|\bline\b|\btube\b"
)
"""Questions about the subject, about what is seen well, and about the technique."""
_OUTSIDE = re.compile(r"stomach|gastric|breast|on top of|superficial|exterior|outside|tip")


@dataclass(frozen=True)
class Truth:
    """What the answers say about a radiograph.

    Attributes:
        normal: True or False, or None if that is unclear.
        findings: finding -> present or absent; those that are not known are left out.
    """

    normal: bool | None
    findings: dict[str, bool]


def truth(answers: Iterable[tuple[str, str]]) -> Truth:
    """Return what question-answer pairs about one radiograph say.

    Args:
        answers: questions and answers.
    """
    said: dict[str, set[bool]] = defaultdict(set)
    for question, answer in answers:
        for topic, present in statements(question, answer):
            said[topic].add(present)
    known = {topic: True in values for topic, values in said.items() if len(values) == 1}
    normal = _normal(known, unclear=len(known) < len(said))
    findings = {finding: known[finding] for finding in FINDINGS if finding in known}
    if normal:
        findings = dict.fromkeys(FINDINGS, False)
    if any(findings.get(part) for part in PARTS) and OPACITY not in said:
        findings[OPACITY] = True
    return Truth(normal, findings)


def _normal(known: dict[str, bool], *, unclear: bool) -> bool | None:
    """Return whether a radiograph is normal by the topics that are known; None if unclear."""
    if any(known.values()):
        return False
    if unclear:
        return None
    return True if IMAGE in known or len(known) >= DENIED else None


def statements(question: str, answer: str) -> Iterator[tuple[str, bool]]:
    """Yield the topics that a question and its answer name, each with whether it is present."""
    question, answer = (" ".join(text.lower().split()) for text in (question, answer))
    question = question.removesuffix("-yes/no").strip(" ?")
    is_open, text = bool(_OPEN.match(question)), f"{question} {answer}"
    if answer in ("yes", "no"):
        if not is_open:
            yield from _closed(question, yes=answer == "yes")
    elif is_open and _NO.search(question):
        yield from ((topic, False) for topic in _topics(question))
    elif _GENERAL.search(question) or _OUTSIDE.search(text):
        return
    elif answer == "none":
        yield from ((topic, False) for topic in _topics(question))
    elif _ABNORMAL.search(text) or any(each.search(text) for each in FINDINGS.values()):
        yield from ((topic, True) for topic in _topics(text) or ["other"])


def _closed(question: str, *, yes: bool) -> Iterator[tuple[str, bool]]:
    """Yield the statements of a question that is answered with yes or no."""
    topics = _topics(question)
    if _TAKEN_FOR_GRANTED.search(question):
        yield from ((topic, True) for topic in topics or ["other"])
        return
    present = yes != bool(_SOUND.search(question))
    if _GENERAL.search(question) or (not present and _LIMITED.search(question)):
        return
    yield from ((topic, present) for topic in topics)


def _topics(text: str) -> list[str]:
    """Return the findings that a text names, or else the first other topic."""
    found = [name for name, pattern in FINDINGS.items() if pattern.search(text)]
    return found or [name for name, pattern in _OTHERS.items() if pattern.search(text)][:1]
