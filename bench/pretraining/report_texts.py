"""Reports for the benchmark, as long as findings and impression of MIMIC-CXR.

Findings and impression together have about 70 words, with a tail up to 200. The lengths are drawn
from a log-normal distribution with mean 70 and standard deviation 35, clipped to 10 to 200 words.
The sentences are only filler.
"""

import csv
from pathlib import Path

import numpy as np

_MEAN, _SPREAD, _LEAST, _MOST = 70, 35, 10, 200
_SENTENCES = tuple(
    sentence.split()
    for sentence in (
        "The lungs are clear without focal consolidation, effusion or pneumothorax.",
        "Cardiomediastinal silhouette is within normal limits.",
        "There is mild bibasilar atelectasis and a small left pleural effusion.",
        "Moderate cardiomegaly with pulmonary vascular congestion, unchanged from prior.",
        (
            "A right internal jugular central venous catheter terminates in the lower superior vena"
            " cava."
        ),
        (
            "Endotracheal tube ends 4.5 cm above the carina; nasogastric tube courses below the"
            " diaphragm."
        ),
        "Degenerative changes of the thoracic spine are noted with flowing osteophytes.",
        "Median sternotomy wires and mediastinal clips are intact.",
        "Impression: no acute cardiopulmonary process.",
        (
            "Heterogeneous opacities at the right lung base are concerning for pneumonia in the"
            " appropriate clinical setting."
        ),
    )
)


def declared_texts(count: int, seed: int = 0) -> list[str]:
    """Return reports of random lengths."""
    rng = np.random.default_rng(seed)
    # Parameters of the underlying normal distribution for this mean and deviation.
    spread = np.log(1 + (_SPREAD / _MEAN) ** 2)
    drawn = rng.lognormal(np.log(_MEAN) - spread / 2, spread**0.5, count)
    return [_report(int(n), rng) for n in drawn.clip(_LEAST, _MOST)]


def _report(words: int, rng: np.random.Generator) -> str:
    written: list[str] = []
    while len(written) < words:
        written += _SENTENCES[rng.integers(len(_SENTENCES))]
    return " ".join(written[:words])


def table_texts(path: Path) -> list[str]:
    """Return the non-empty texts of a radiograph table."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file) if row["text"].strip()]
