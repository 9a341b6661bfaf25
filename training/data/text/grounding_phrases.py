"""Phrases for phrase-region alignment: words, and what they mean on a radiograph.

    concept  "left lung"            -> many wordings
             region of the concept  -> from the lung masks, by simple geometry

The text encoder sees wordings only; nothing here is used at serving time. Zones, heart,
mediastinum and hemidiaphragms are derived from the two lung masks and are approximations,
not annotations. `DEVELOPMENT` wordings are not trained on, but their neighbours are (some came in
after a run had failed there). `HELD_OUT` wordings are measured on and nothing else: no template,
weight or run is chosen by them.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from training.data.rows.labels import is_normal, truth
from training.data.rows.reader import Row

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
_SHORT = {"left": "Lt", "right": "Rt"}
_ZONES = {
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
        "pneumonia", "signs of pneumonia", "pneumonic infiltrate", "airspace opacity",
        "consolidation from pneumonia", "lung infection", "opacity in the lung",
        "findings suggest pneumonia", "infiltrates", "lung opacities",
    ),
    "Effusion": ("pleural effusion", "fluid in the pleural space", "effusion"),
    "Cardiomegaly": ("cardiomegaly", "enlarged heart", "the heart is enlarged"),
    "Pneumothorax": ("pneumothorax", "collapsed lung with pleural air", "air in the pleural space"),
    "Edema": ("pulmonary edema", "vascular congestion", "fluid overload of the lungs"),
    "Atelectasis": ("atelectasis", "volume loss", "plate-like atelectasis"),
    "Mass": ("lung mass", "pulmonary mass", "tumour in the lung"),
    "Nodule": ("pulmonary nodule", "lung nodule", "small round opacity"),
    "Emphysema": ("emphysema", "hyperinflated lungs"),
    "Hernia": ("hiatal hernia",),
}  # fmt: skip
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

DEVELOPMENT: dict[str, tuple[str, ...]] = {
    "left lung": (
        "left-hand lung of this patient", "lung, left side",
        "the lung at the left", "L lung",
    ),
    "right lung": (
        "right-hand lung of this patient", "lung, right side",
        "the lung at the right", "R lung",
    ),
    "heart": ("the cardiac shadow", "outline of the heart"),
    "absent": (
        "a fractured hip", "the kidneys", "cerebral cortex", "a rabbit", "a motorcycle",
        "an ankle sprain", "the stomach on endoscopy", "jaw bone",
    ),
}  # fmt: skip
HELD_OUT: dict[str, tuple[str, ...]] = {
    "left lung": (
        "the patient's left hemithorax", "lung on the patient's left side",
        "please outline the whole left lung", "pulmo sinister", "box around the pt's left lung",
        "left pulmonary parenchyma", "the lung, left",
        "show me the entire lung on the patient's left",
    ),
    "right lung": (
        "the patient's right hemithorax", "lung on the patient's right side",
        "please outline the whole right lung", "pulmo dexter", "box around the pt's right lung",
        "right pulmonary parenchyma", "the lung, right",
        "show me the entire lung on the patient's right",
    ),
    "heart": (
        "the heart shadow", "outline the cardiac shadow", "where is the heart?", "cor",
    ),
    "absent": (
        "left kneecap", "the patient's urinary bladder", "where is the prostate?", "femoral head",
        "right ankle joint", "axial CT slice of the brain", "fetal ultrasound",
        "mammogram of the right breast", "coffee mug", "car keys", "show me the pituitary gland",
        "laptop keyboard",
    ),
}  # fmt: skip
"""Written by somebody who had not seen the templates above; those trained on were taken out."""


@dataclass(frozen=True)
class Phrase:
    """A wording and the concept it stands for."""

    text: str
    concept: str


def _side_wordings(side: str) -> list[str]:
    held = {*DEVELOPMENT[f"{side} lung"], *HELD_OUT[f"{side} lung"]}
    words = [
        wording.format(
            side=side, initial=side[0].upper(), short=_SHORT[side], other=OTHER[side], noun=noun
        )
        for wording in _SIDE_WORDINGS
        for noun in _LUNG_NOUNS
    ]
    return [word for word in words if word not in held]


def _zone_wordings(side: str, zone: str) -> list[str]:
    return [
        wording.format(side=side, zone=word)
        for word in _ZONES[zone]
        for wording in ("{side} {zone}", "the {side} {zone}", "{zone} of the {side} lung",
                        "the patient's {side} {zone}")
    ]  # fmt: skip


def _wordings() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {name: list(texts) for name, texts in _PLAIN.items()}
    for side in OTHER:
        words[f"{side} lung"] = _side_wordings(side)
        for zone in _ZONES:
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
_GROUPS: tuple[tuple[float, dict[str, list[str]]], ...] = (
    (0.28, {f"{side} lung": REGION_WORDINGS[f"{side} lung"] for side in OTHER}),
    (0.24, {name: words for name, words in REGION_WORDINGS.items() if name[-5:] != " lung"}),
    (0.18, {name: list(words) for name, words in _FINDINGS.items()}),
    (0.05, {"normal": list(_NORMAL)}),
    (0.05, {"visible": list(_VISIBLE)}),
    (0.06, {"device": list(_DEVICES)}),
    (0.14, {"absent": list(_ABSENT)}),
)


def draw(count: int, rng: random.Random) -> list[Phrase]:
    """Phrases for one batch: the two lungs always, the rest at random."""
    phrases = [Phrase(rng.choice(REGION_WORDINGS[c]), c) for c in ("left lung", "right lung")]
    weights = [weight for weight, _ in _GROUPS]
    for group in rng.choices([concepts for _, concepts in _GROUPS], weights, k=count - 2):
        concept = rng.choice(sorted(group))
        phrases.append(Phrase(rng.choice(group[concept]), concept))
    return [Phrase(_spelling(p.text, rng), p.concept) for p in phrases]


def _spelling(text: str, rng: random.Random) -> str:
    """Now and then an upper-case first letter or a full stop; the tokenizer folds the case."""
    return f"{text}." if rng.random() < 0.2 else text


def presence(row: Row, concept: str) -> bool | None:
    """Whether a frontal radiograph shows the concept; None where nothing says."""
    if concept in REGION_WORDINGS or concept == "visible":
        return True
    if concept == "absent":
        return False
    if concept == "normal":
        known = row.table in {"kermany_224", "nih_subset"}
        return is_normal(row) if known else None
    if concept == "device":
        return False if row.table == "kermany_224" and is_normal(row) else None
    if row.table == "kermany_224" and is_normal(row):
        return False
    return truth(row).get(concept)


@dataclass(frozen=True)
class Lungs:
    """Lung masks of a batch and what geometry derives from them, all B x h x w or B x h."""

    left: Tensor
    right: Tensor

    def region(self, concept: str) -> Tensor:
        """B x h x w bool: where the concept lies, for any key of `REGION_WORDINGS`."""
        return _REGIONS[concept](self)

    def side(self, side: str) -> Tensor:
        """The mask of one lung."""
        return self.left if side == "left" else self.right


def _extent(mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """First and one past the last row (dim 1) or column (dim 2) of each mask, B x 1 x 1."""
    hit = mask.any(dim=3 - dim)
    size = hit.shape[1]
    index = torch.arange(size, device=mask.device).expand_as(hit)
    first = torch.where(hit, index, size).amin(dim=1)
    last = torch.where(hit, index + 1, 0).amax(dim=1)
    return first.float().view(-1, 1, 1), last.float().view(-1, 1, 1)


def _grid(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each cell's centre, 1 x h x 1 and 1 x 1 x w."""
    _, height, width = mask.shape
    rows = torch.arange(height, device=mask.device).view(1, -1, 1) + 0.5
    return rows, torch.arange(width, device=mask.device).view(1, 1, -1) + 0.5


def _zone(lungs: Lungs, side: str, low: float, high: float) -> Tensor:
    """The part of a lung between two shares of its height, from the top."""
    mask = lungs.side(side)
    top, bottom = _extent(mask, 1)
    share = (_grid(mask)[0] - top) / (bottom - top).clamp_min(1)
    return mask & (share >= low) & (share < high)


def _hemidiaphragm(lungs: Lungs, side: str) -> Tensor:
    """A band around the lower border of a lung."""
    mask = lungs.side(side)
    height = mask.shape[1]
    index = torch.arange(height, device=mask.device).view(1, -1, 1)
    lowest = torch.where(mask, index, -height).amax(dim=1, keepdim=True)
    top, bottom = _extent(mask, 1)
    low = index > top + 0.6 * (bottom - top)
    return low & ((index - lowest).abs() <= max(1, height // 28))


def _costophrenic(lungs: Lungs, side: str) -> Tensor:
    """The lower fifth of a lung, its lateral 40 percent."""
    base = _zone(lungs, side, 0.75, 1.01)
    left, right = _extent(base, 2)
    share = (_grid(base)[1] - left) / (right - left).clamp_min(1)
    return base & ((share > 0.6) if side == "left" else (share < 0.4))


def _between(lungs: Lungs, low: float, high: float, into_right: float, into_left: float) -> Tensor:
    """Between the inner borders of the lungs, reaching into each by a share of its width."""
    rows, columns = _grid(lungs.left)
    both = lungs.left | lungs.right
    top, bottom = _extent(both, 1)
    right_start, _ = _extent(lungs.right, 2)
    _, left_end = _extent(lungs.left, 2)
    inner_right = _inner(lungs.right, last=True)
    inner_left = _inner(lungs.left, last=False)
    start = inner_right - into_right * (inner_right - right_start)
    end = inner_left + into_left * (left_end - inner_left)
    share = (rows - top) / (bottom - top).clamp_min(1)
    return (columns > start) & (columns < end) & (share >= low) & (share < high)


def _inner(mask: Tensor, *, last: bool) -> Tensor:
    """The inner border of a lung, by row, averaged over its rows: B x 1 x 1."""
    width = mask.shape[2]
    index = torch.arange(width, device=mask.device).view(1, 1, -1)
    hit = mask.any(dim=2)
    border = (
        torch.where(mask, index + 1, 0).amax(dim=2)
        if last
        else torch.where(mask, index, width).amin(dim=2)
    )
    total = (border * hit).sum(dim=1).float() / hit.sum(dim=1).clamp_min(1)
    return total.view(-1, 1, 1)


def _regions() -> Mapping[str, Callable[[Lungs], Tensor]]:
    thirds = {"upper": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "lower": (2 / 3, 1.01)}
    regions: dict[str, Callable[[Lungs], Tensor]] = {
        "left lung": lambda lungs: lungs.left,
        "right lung": lambda lungs: lungs.right,
        "both lungs": lambda lungs: lungs.left | lungs.right,
        "heart": partial(_between, low=0.45, high=1.01, into_right=0.12, into_left=0.5),
        "mediastinum": partial(_between, low=0.1, high=1.01, into_right=0.0, into_left=0.0),
        "trachea": partial(_between, low=0.0, high=0.35, into_right=0.0, into_left=0.0),
    }
    for side in OTHER:
        for zone, (low, high) in thirds.items():
            regions[f"{side} {zone} zone"] = partial(_zone, side=side, low=low, high=high)
        regions[f"{side} hemidiaphragm"] = partial(_hemidiaphragm, side=side)
        regions[f"{side} costophrenic angle"] = partial(_costophrenic, side=side)
    return regions


_REGIONS = _regions()
