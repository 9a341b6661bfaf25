"""View of a radiograph: the projection, by every source of the header that names one.

    View Position (0018,5101)                       words of the image
    View Code Sequence (0054,0220), its modifiers   codes of the image
    Patient Orientation (0020,0020)                 rows or columns between front and back
    descriptions of series, protocol, processing    words of a series, usually of one view
    descriptions of study and procedure             words of all views of a study

All sources but the last are heard together, so that a contradiction is seen and evidence of a
lateral view is never overruled. A study has several views as a rule: its description is heard
only where nothing else names a frontal or lateral view. A description that lists several views,
such as `PA AND LATERAL`, says nothing about one image.

Of one text, `LATERAL DECUBITUS` is a decubitus and `LATERAL OBLIQUE` an oblique view.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radiograph.readers.header.attributes import Attributes
from radiograph.readers.header.view_codes import CODED_VIEWS, VIEW_MODIFIERS, ViewKind

SERIES_TEXTS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
STUDY_TEXTS = (
    "StudyDescription",
    "PerformedProcedureStepDescription",
    "RequestedProcedureDescription",
)

_MAX_ITEMS = 16
_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")
_WORD = re.compile(r"[A-Z]+|[&+/,]")
_LONE_LETTER = re.compile(r"(?<![A-Z])([A-Z])[ ._/-]{1,2}(?=[A-Z](?![A-Z]))")
_COMPOUND = re.compile(r"\b(ANTERO|POSTERO)[ ._-]{1,2}(?=(ANT|POST)ERIOR)")
_LATERAL_OF_ONE_NAME = re.compile(r"\bLAT(ERAL)?[ ._-]{1,2}(?=DECUB|OBL)")
_NOT_A_VIEW = re.compile(r"\b(BI|UNI|CONTRA|IPSI)[ _-]LATERAL\w*")
_LIST_WORDS = {"AND", "Y", "E", "ET", "UND", "EN", "WITH", "W", "VIEWS", "&", "+", "/", ","}

# Words of any text.
_KINDS: tuple[tuple[ViewKind, re.Pattern[str]], ...] = (
    ("frontal", re.compile(r"PA|AP|FRONTALE?|POSTEROANT\w*|ANTEROPOST\w*")),
    (
        "lateral",
        re.compile(
            r"(L|R|LT|RT|LEFT|RIGHT)?LAT(ERAA?L\w{0,2})?(L|R|LT|RT)?|(LATERO){1,2}LATERAL\w{0,2}|PERFIL|"
            r"PROFILO?|SEITL(ICH\w{0,2})?|BOC(Z?N\w{1,3})|SIDEBILDE?|SIDOBILD|SIVUKUVA|OLDALIRANYU"
        ),
    ),
    ("oblique", re.compile(r"OBL(I(Q|QU|C)\w*)?|[LR][AP]O|SCHRAE?G\w{0,2}")),
    ("decubitus", re.compile(r"(LAT|LT|RT|LL|RL|L|R)?DECUB\w*")),
    ("other", re.compile(r"LORDOTIC\w*|SWIMMERS?")),
)
# Abbreviations that are views in View Position, but may be anything in free text.
_POSITION_KINDS: dict[str, ViewKind] = {
    "LL": "lateral",
    "RL": "lateral",
    "LM": "lateral",
    "ML": "lateral",
    "XTL": "lateral",
    "LLO": "oblique",
    "RLO": "oblique",
    "LLD": "decubitus",
    "RLD": "decubitus",
    "FACE": "frontal",
    "FRENTE": "frontal",
    "SAGITTAL": "lateral",
    "AXIAL": "other",
    "TANGENTIAL": "other",
}
# In texts of the chest, LL is a lateral view in Italian and YAN in Turkish; in others LL may be a
# leg.
_CHEST = re.compile(r"CHEST|THORA|TORA[CKX]|AKCIGER")
_LATERAL_OF_CHEST = {"LL", "YAN"}
_GLUED = re.compile(
    r"\b(CHEST|THORAX|TORAX|CXR)(?=(PA|AP|LAT(ERAL)?|LL|RL|OBL(IQUE)?|DECUB(ITUS)?)(?![A-Z]))"
)
# Words of Chinese, Japanese, Korean, Russian and Greek for the views.
_BOTH = r"\u6b63\W*[\u53ca\u548c\u4e0e\u8207]?[\u5074\u4fa7][\u9762\u4f4d]"
_LYING_ON_A_SIDE = r"[\u5074\u4fa7][\u5367\u81e5]"
_KOREAN_SIDE = unicodedata.normalize("NFKD", "\uce21\uba74")  # texts are decomposed as well
_GREEK_SIDE = r"\u03a0\u039b\u0391\u0393\u0399\w*"
_LATERAL = (
    rf"[\u5074\u4fa7][\u9762\u4f4d]|\u0411\u041e\u041a\u041e\u0412\w*|{_KOREAN_SIDE}|{_GREEK_SIDE}"
)
_FRONTAL = r"\u6b63[\u9762\u4f4d]|\u041f\u0420\u042f\u041c\w*"
_AP_OR_PA = r"\u524d[\u5f8c\u540e]\u4f4d|[\u5f8c\u540e]\u524d\u4f4d"
_OBLIQUE = r"\u659c\u4f4d|\u041a\u041e\u0421\u0410\u042f"
_TRANSLATED = (
    (re.compile(_BOTH), " FRONTAL AND LATERAL "),
    (re.compile(_LYING_ON_A_SIDE), " DECUBITUS "),
    (re.compile(_LATERAL), " LATERAL "),
    (re.compile(f"{_FRONTAL}|{_AP_OR_PA}"), " FRONTAL "),
    (re.compile(_OBLIQUE), " OBLIQUE "),
)
"""English words for those of other scripts; a pattern that contains another one comes first."""

_POSTURES = {"ERECT", "UPRIGHT", "STANDING", "SITTING", "SUPINE", "PRONE", "SEMI", "PORTABLE"}
_NO_VIEW = {
    *_POSTURES,
    *("STEHEND", "LIEGEND", "SITZEND", "DEBOUT", "ASSIS", "COUCHE"),
    *("INS", "INSP", "INSPIRATION", "EXP", "EXPIRATION"),
    *("CHEST", "THORAX", "TORAX", "LUNG", "LUNGS"),
    *("UNKNOWN", "UNSPECIFIED", "UNDEFINED", "NONE", "NULL", "NA", "DE"),
}
"""Words of View Position that name no projection."""
_SIDES = {"L", "R", "LT", "RT", "LEFT", "RIGHT"}
_NOT_LATERAL = {"oblique", "decubitus"}
_LYING_ON_THE_BACK = {"SUPINE", "SUPINO", "SUPINA"}


@dataclass(frozen=True)
class View:
    """Projection of a radiograph as its header describes it.

    Attributes:
        position: View Position, or its equivalent in View Code Sequence, or None.
        stated: kinds that View Position and View Code Sequence name.
        kinds: kinds that any source names.
    """

    position: str | None
    stated: frozenset[ViewKind]
    kinds: frozenset[ViewKind]

    @property
    def is_lateral(self) -> bool:
        """True if any source names a lateral projection."""
        return "lateral" in self.kinds

    @property
    def is_contradictory(self) -> bool:
        """True if the sources name both a frontal and a lateral projection."""
        return {"frontal", "lateral"} <= self.kinds

    @property
    def is_unusual(self) -> bool:
        """True if a source names a view that is neither frontal nor lateral."""
        return bool(self.kinds - {"frontal", "lateral"})

    @property
    def is_stated_frontal(self) -> bool:
        """True if View Position or its code is frontal, and no source is lateral."""
        return "frontal" in self.stated and not self.is_lateral


def read_view(header: Attributes) -> View:
    """Read the view of a radiograph from all sources of its header."""
    words = _words(header.plain_text("ViewPosition"))
    coded = header.items("ViewCodeSequence")[:_MAX_ITEMS]
    stated = _kinds_of_position(header, words) | _kinds_of_items(coded)
    kinds = stated | _kinds_of_orientation(header) | _kinds_of_patient_position(header)
    kinds |= _kinds_of_texts(header, SERIES_TEXTS)
    if not kinds & {"frontal", "lateral"}:
        kinds |= _kinds_of_texts(header, STUDY_TEXTS) & {"lateral"}
    return View(_position(header, words, coded), frozenset(stated), frozenset(kinds))


def _position(header: Attributes, words: list[str], coded: Iterable[Attributes]) -> str | None:
    """Return View Position, rewritten as a code string if it is none, or its code's equivalent.

    Text that is no code string is free text, which may name a patient. It is returned only if
    every word of it is known.
    """
    text = header.text("ViewPosition")
    if _CODE_STRING.fullmatch(text):
        return text
    rewritten = " ".join(words)
    known = all(_kind(word, in_position=True) or word in _NO_VIEW | _SIDES for word in words)
    if words and known and _CODE_STRING.fullmatch(rewritten):
        return rewritten
    views = (CODED_VIEWS.get(item.text("CodeValue")) for item in coded)
    return next((view.position for view in views if view and view.position), None)


def _kinds_of_position(header: Attributes, words: list[str]) -> set[ViewKind]:
    """Return the kinds that View Position names; a code string that names none is unusual."""
    kinds = _kinds_of_words(words, in_position=True)
    text = header.text("ViewPosition")
    if not kinds and _CODE_STRING.fullmatch(text) and not {*words} <= _NO_VIEW | _SIDES:
        kinds.add("other")
    return kinds


def _kinds_of_items(items: Iterable[Attributes]) -> set[ViewKind]:
    """Return the kinds of coded views and of their modifiers."""
    kinds: set[ViewKind] = set()
    for item in items:
        view = CODED_VIEWS.get(item.text("CodeValue"))
        kinds |= {view.kind} if view else _kinds_of_description(item.plain_text("CodeMeaning"))
        kinds |= _kinds_of_modifiers(item.items("ViewModifierCodeSequence"))
    return kinds


def _kinds_of_modifiers(items: Sequence[Attributes]) -> set[ViewKind]:
    """Return the kinds that modifiers name by code, or else by their meaning."""
    kinds: set[ViewKind] = set()
    for item in items[:_MAX_ITEMS]:
        kind = VIEW_MODIFIERS.get(item.text("CodeValue"))
        kinds |= {kind} if kind else _kinds_of_description(item.plain_text("CodeMeaning"))
    return kinds


def _kinds_of_patient_position(header: Attributes) -> set[ViewKind]:
    """Return the kinds of the modifiers of Patient Orientation Code Sequence (0054,0410)."""
    kinds: set[ViewKind] = set()
    for item in header.items("PatientOrientationCodeSequence")[:_MAX_ITEMS]:
        kinds |= _kinds_of_modifiers(item.items("PatientOrientationModifierCodeSequence"))
    return kinds - {"frontal", "lateral"}


def _kinds_of_orientation(header: Attributes) -> set[ViewKind]:
    """Return `lateral` if rows or columns run mainly between the front and the back."""
    directions = header.texts("PatientOrientation")[:2]
    return {"lateral"} if any(direction[:1] in ("A", "P") for direction in directions) else set()


def _kinds_of_texts(header: Attributes, keywords: Iterable[str]) -> set[ViewKind]:
    kinds: set[ViewKind] = set()
    for keyword in keywords:
        kinds |= _kinds_of_description(header.plain_text(keyword))
    return kinds


def _kinds_of_description(text: str) -> set[ViewKind]:
    """Return the kinds that free text names; none if it lists several views."""
    words = _words(_LATERAL_OF_ONE_NAME.sub("", text))
    if _CHEST.search(text):
        words = ["LATERAL" if word in _LATERAL_OF_CHEST else word for word in words]
    named = {kind for word in words if (kind := _kind(word, in_position=False))}
    listed = len(named) > 1 and not _LIST_WORDS.isdisjoint(words)
    kinds = _kinds_of_words(words, in_position=False)
    return set() if listed or {"frontal", "lateral"} <= kinds else kinds


def _kinds_of_words(words: Sequence[str], *, in_position: bool) -> set[ViewKind]:
    """Return the kinds that the words of one text name together."""
    kinds = {kind for word in words if (kind := _kind(word, in_position=in_position))}
    if not _LYING_ON_THE_BACK.isdisjoint(words):  # in Spanish, DECUBITO SUPINO is just supine
        kinds.discard("decubitus")
    if not kinds.isdisjoint(_NOT_LATERAL):
        kinds.discard("lateral")
    return kinds


def _kind(word: str, *, in_position: bool) -> ViewKind | None:
    """Return the kind that a word names, or None."""
    if in_position and word in _POSITION_KINDS:
        return _POSITION_KINDS[word]
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(word)), None)


def _words(text: str) -> list[str]:
    """Split a text into words, without digits, and the signs that list things.

    Letters that stand alone are joined, so that `P.A.` and `A P` are read as `PA` and `AP`, and so
    are the parts of `POSTERO-ANTERIOR`.
    """
    for pattern, word in _TRANSLATED:
        text = pattern.sub(word, text)
    text = _COMPOUND.sub(r"\1", _LONE_LETTER.sub(r"\1", _GLUED.sub(r"\1 ", text)))
    text = _NOT_A_VIEW.sub(" ", text)
    return _WORD.findall(text)
