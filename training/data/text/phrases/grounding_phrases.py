"""Phrases for phrase-region alignment: concepts of a radiograph and their wordings.

    concept  "left lung"  -> many wordings, from templates

`training.data.batches.region_targets` gives each concept its region. The text encoder sees only
the wordings; nothing here is used at serving time. The wordings of `unseen_wordings` are not drawn,
but similar ones are (some were added after a run had failed on them).
"""

import random
from collections.abc import Collection
from dataclasses import dataclass, replace

from training.data.text.phrases import foreign_phrases
from training.data.text.phrases.unseen_wordings import DEVELOPMENT, HELD_OUT

OTHER = {"left": "right", "right": "left"}
_LUNG_NOUNS = (
    "lung", "lung field", "hemithorax", "pulmonary field", "lung parenchyma", "lung tissue",
    "thoracic cavity", "half of the chest", "lung area", "lung region", "hemi-thorax", "pulmo",
    "breathing organ", "chest cavity",
)  # fmt: skip
_SIDE_WORDINGS = (
    "{side} {noun}",
    "the {side} {noun}",
    "the patient's {side} {noun}",
    "{side}-sided {noun}",
    "the {noun} on the {side}",
    "{noun}, {side}",
    "the {noun} on the patient's {side} side",
    "{side} side of the chest, {noun}",
    "{initial} {noun}",
    "{noun} ({initial})",
    "{side}-hand {noun}",
    "the {noun} at the {side} of the patient",
    "the {noun} on the {other} side of the image",
    "{short} {noun}",
    "{short}. {noun}",
    "{noun} {initial}",
    "the whole {side} {noun}",
    "the entire {side} {noun}",
    "all of the {side} {noun}",
    "where is the {side} {noun}?",
    "where is the patient's {side} {noun}?",
    "show me the {side} {noun}",
    "please outline the {side} {noun}",
    "segment the {side} {noun}",
    "find the {side} {noun} of this patient",
    "locate the {noun} belonging to the {side} side",
    "aerated {noun} of the {side} chest",
    "{noun} of the {side} side",
    "the patient's own {side} {noun}",
    "{side} {noun} on this film",
    "can you mark the {side} {noun} in this radiograph?",
    "draw a box around the {noun} on the {side} side of the patient's body",
    "the {noun} on the {side} side of the patient, not of the image",
    "{side} {noun} (on the {other} side of the image)",
    "{side}_{noun}",
    "{side} {noun}, from apex to base",
    "complete {noun} on the patient's {side}",
    "which part is the {side} {noun}",
    "{noun} on pt's {side}",
    "{side} side {noun}",
    "{side} {noun} only",
    "i want to see the {side} {noun}",
    "{side} {noun} contour",
    "outline of the {side} {noun}",
    "the {side} one of the two {noun}s",
)
SHORT = {"left": "Lt", "right": "Rt"}
ZONES = {
    "upper": ("upper zone", "upper lung zone", "upper lobe", "apex", "apical region"),
    "middle": ("mid zone", "middle lung zone", "mid lung", "perihilar region"),
    "lower": ("lower zone", "lower lung zone", "lower lobe", "lung base", "basal region"),
}
_PLAIN: dict[str, tuple[str, ...]] = {
    "both lungs": (
        "lungs", "both lungs", "the lungs", "bilateral lungs", "lung fields", "both lung fields",
        "left and right lung", "pulmonary parenchyma", "the lungs on both sides",
    ),
    "heart": (
        "heart", "the heart", "cardiac silhouette", "heart shadow", "cardiac contour",
        "cardiomediastinal silhouette", "heart size", "ventricles of the heart",
    ),
    "mediastinum": (
        "mediastinum", "the mediastinum", "mediastinal contour", "central chest between the lungs",
        "thoracic spine", "vertebral column", "midline structures",
    ),
    "trachea": ("trachea", "windpipe", "the tracheal air column", "superior mediastinum"),
}  # fmt: skip
_FINDINGS: dict[str, tuple[str, ...]] = {
    "Pneumonia": (
        "pneumonia",
        "signs of pneumonia",
        "pneumonic infiltrate",
        "consolidation from pneumonia",
        "lung infection",
        "findings suggest pneumonia",
        "pneumonic consolidation",
        "infection of the lung",
        "lobar pneumonia",
        "bronchopneumonia",
    ),
    "Lung opacity": (
        "lung opacity",
        "opacity",
        "opacity in the lung",
        "airspace opacity",
        "lung opacities",
        "hazy opacity",
        "patchy opacity",
        "area of increased density in the lung",
        "shadowing",
        "airspace disease",
    ),
    "Infiltration": (
        "infiltrate",
        "infiltrates",
        "infiltration",
        "pulmonary infiltrate",
        "interstitial markings",
    ),
    "Consolidation": (
        "consolidation",
        "airspace consolidation",
        "focal consolidation",
        "lung consolidation",
    ),
    "Effusion": (
        "pleural effusion",
        "fluid in the pleural space",
        "effusion",
        "pleural fluid",
        "blunted costophrenic angle",
        "fluid at the lung base",
        "hydrothorax",
    ),
    "Cardiomegaly": (
        "cardiomegaly",
        "enlarged heart",
        "the heart is enlarged",
        "cardiac enlargement",
        "enlarged cardiac silhouette",
        "big heart",
    ),
    "Pneumothorax": (
        "pneumothorax",
        "collapsed lung with pleural air",
        "air in the pleural space",
        "pleural air",
        "visible pleural line without lung markings",
        "apical pneumothorax",
    ),
    "Edema": (
        "pulmonary edema",
        "vascular congestion",
        "fluid overload of the lungs",
        "pulmonary oedema",
        "interstitial edema",
    ),
    "Atelectasis": (
        "atelectasis",
        "volume loss",
        "plate-like atelectasis",
        "collapse of lung tissue",
        "basal atelectasis",
        "linear atelectasis",
        "subsegmental collapse",
    ),
    "Mass": ("lung mass", "mass", "pulmonary mass", "tumour in the lung", "large round lesion"),
    "Nodule": (
        "pulmonary nodule",
        "nodule",
        "lung nodule",
        "small round opacity",
        "coin lesion",
        "solitary nodule",
    ),
    "Emphysema": ("emphysema", "hyperinflated lungs"),
    "Fibrosis": ("pulmonary fibrosis", "fibrosis", "reticular scarring"),
    "Pleural_Thickening": ("pleural thickening", "thickened pleura"),
    "Hernia": ("hiatal hernia",),
}
_SIDED = frozenset(
    {"Pneumonia", "Lung opacity", "Infiltration", "Consolidation", "Effusion", "Pneumothorax"}
    | {"Atelectasis", "Mass", "Nodule"}
)
"""Findings that a phrase may place on one side."""
FINDING_SIDES = (
    "{side} {finding}",
    "{side}-sided {finding}",
    "{finding} on the {side}",
    "{finding} in the {side} lung",
    "{finding} on the patient's {side} side",
    "{finding}, {side}",
    "{finding} of the {side} hemithorax",
)
_NORMAL = (
    "clear lungs", "no acute findings", "normal chest radiograph", "no focal consolidation",
    "unremarkable chest", "lungs are clear", "healthy lungs without opacity",
)  # fmt: skip
_VISIBLE = (
    "ribs", "clavicles", "chest radiograph", "thoracic cage", "frontal chest x-ray", "bony thorax",
    "collar bones", "chest wall", "soft tissues of the chest", "thorax", "posterior ribs",
)  # fmt: skip
_DEVICES = (
    "pacemaker", "implantable defibrillator", "sternotomy wires", "prosthetic heart valve",
    "central venous catheter", "endotracheal tube", "nasogastric tube", "chest tube",
    "surgical clips", "orthopedic hardware", "port catheter", "pacemaker leads",
)  # fmt: skip
_ABSENT = (
    "left kidney", "right kidney", "urinary bladder", "femur fracture", "broken leg", "knee joint",
    "hip prosthesis", "pelvis", "sacrum", "prostate", "uterus", "brain", "brain tumour", "skull",
    "mandible", "teeth", "wrist fracture", "metacarpal bones", "ankle", "tibia and fibula",
    "foot", "toes", "patella", "optic nerve", "retina", "spinal cord lesion", "gallstones",
    "appendix", "colon polyp", "small bowel obstruction", "bladder stone", "kidney stone",
    "ovarian cyst", "fetus", "mammogram", "breast calcifications on mammography", "cerebellum",
    "lateral ventricles of the brain", "intracranial hemorrhage", "carotid bifurcation",
    "thyroid nodule on ultrasound", "liver lesion on MRI", "pancreas", "adrenal mass",
    "a dog", "a cat", "a horse", "a car", "a house", "a tree", "pizza", "a bicycle", "an aeroplane",
    "a photograph of a person", "the sky", "a computer keyboard", "a city street", "mountains",
    "handwriting", "a map", "a dental filling", "elbow dislocation", "scaphoid", "calcaneus",
    "lumbar spine scoliosis brace", "rectum", "testis", "sinusitis", "nasal bone fracture",
    "dinosaur", "football", "music", "an elephant", "bread", "the ocean", "a wine bottle",
)  # fmt: skip

FINDING_ZONES = (
    "{side} {zone} {finding}",
    "{finding} in the {side} {zone}",
    "{finding} at the {side} {zone}",
    "{finding}, {side} {zone}",
    "{finding} in the {zone} of the {side} lung",
)


@dataclass(frozen=True)
class Phrase:
    """A wording and its concept.

    Attributes:
        text: the wording.
        concept: key of a group of wordings.
        side: side of the patient, `left` or `right`, that a finding is said to be on, or "".
        zone: third of the lung on that side, `upper`, `middle` or `lower`, or "" for all of it.
    """

    text: str
    concept: str
    side: str = ""
    zone: str = ""


def _side_wordings(side: str) -> list[str]:
    held = {*DEVELOPMENT[f"{side} lung"], *HELD_OUT[f"{side} lung"]}
    words = [
        wording.format(
            side=side, initial=side[0].upper(), short=SHORT[side], other=OTHER[side], noun=noun
        )
        for wording in _SIDE_WORDINGS
        for noun in _LUNG_NOUNS
    ]
    return [word for word in words if word not in held]


def _zone_wordings(side: str, zone: str) -> list[str]:
    return [
        wording.format(side=side, zone=word)
        for word in ZONES[zone]
        for wording in ("{side} {zone}", "the {side} {zone}", "{zone} of the {side} lung",
                        "the patient's {side} {zone}")
    ]  # fmt: skip


def _wordings() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {name: list(texts) for name, texts in _PLAIN.items()}
    for side in OTHER:
        words[f"{side} lung"] = _side_wordings(side)
        for zone in ZONES:
            words[f"{side} {zone} zone"] = _zone_wordings(side, zone)
        words[f"{side} hemidiaphragm"] = [
            f"{side} hemidiaphragm", f"{side} diaphragm", f"dome of the {side} diaphragm",
        ]  # fmt: skip
        words[f"{side} costophrenic angle"] = [
            f"{side} costophrenic angle", f"{side} costophrenic sulcus",
            f"{side} lateral lung base",
        ]  # fmt: skip
    return words


REGION_WORDINGS = _wordings()
"""Concept that has a region -> wordings."""
_GROUPS: tuple[tuple[float, dict[str, list[str]]], ...] = (
    (0.28, {f"{side} lung": REGION_WORDINGS[f"{side} lung"] for side in OTHER}),
    (0.24, {name: words for name, words in REGION_WORDINGS.items() if name[-5:] != " lung"}),
    (0.18, {name: list(words) for name, words in _FINDINGS.items()}),
    (0.05, {"normal": list(_NORMAL)}),
    (0.05, {"visible": list(_VISIBLE)}),
    (0.06, {"device": list(_DEVICES)}),
    (0.14, {"absent": [*_ABSENT, *foreign_phrases.TRAINED]}),
)
"""Probability of each group of concepts, and its wordings by concept."""


def draw(count: int, rng: random.Random, findings: Collection[str] = ()) -> list[Phrase]:
    """Draw the phrases of one batch.

    Args:
        count: number of phrases.
        rng: source of randomness.
        findings: findings that are drawn in an image of the batch; each gets a phrase, as long as
            there is room.

    Returns:
        The two lungs, the heart, the findings, and others at random.
    """
    phrases = [
        Phrase(rng.choice(REGION_WORDINGS[c]), c) for c in ("left lung", "right lung", "heart")
    ]
    phrases += [_finding(name, rng) for name in sorted(set(findings) & _FINDINGS.keys())]
    weights = [weight for weight, _ in _GROUPS]
    rest = max(0, count - len(phrases))
    for group in rng.choices([concepts for _, concepts in _GROUPS], weights, k=rest):
        concept = rng.choice(sorted(group))
        others = Phrase(rng.choice(group[concept]), concept)
        phrases.append(_finding(concept, rng) if concept in _FINDINGS else others)
    spelt = [replace(phrase, text=_spelling(phrase.text, rng)) for phrase in phrases]
    return spelt[:count]


def _finding(concept: str, rng: random.Random) -> Phrase:
    """Return a wording of a finding, one of three with a side where it can have one."""
    text = rng.choice(_FINDINGS[concept])
    if concept not in _SIDED or rng.random() > 1 / 3:
        return Phrase(text, concept)
    side = rng.choice(sorted(OTHER))
    if rng.random() < 0.5:
        return Phrase(rng.choice(FINDING_SIDES).format(side=side, finding=text), concept, side)
    zone = rng.choice(sorted(ZONES))
    words = rng.choice(FINDING_ZONES).format(side=side, finding=text, zone=rng.choice(ZONES[zone]))
    return Phrase(words, concept, side, zone)


def _spelling(text: str, rng: random.Random) -> str:
    """Return the text, in one of five cases with a full stop."""
    return f"{text}." if rng.random() < 0.2 else text
