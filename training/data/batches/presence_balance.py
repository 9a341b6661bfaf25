"""Weights by which a concept that is shown and one that is not shown count alike.

    rows and phrases of batches --`region_targets.presence`--> share that shows each concept
                                                           --> its two weights

A rare finding is otherwise answered with a low presence even where it is seen, and one threshold
for all phrases then refuses it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from training.data.batches.region_targets import RegionTargets, presence
from training.data.rows.reader import Row
from training.data.text.phrases.grounding_phrases import Phrase

MOST = 10.0
"""Largest weight, so that a concept that a handful of rows show does not rule a batch."""


@dataclass(frozen=True)
class PresenceWeights:
    """Weights of a concept in the loss of its presence, where it is not shown and where it is."""

    absent: float
    shown: float


def balanced_presence(
    batches: Iterable[tuple[Sequence[Row], Sequence[Phrase]]],
) -> Mapping[str, PresenceWeights]:
    """Return the weights of each concept that is both shown and not shown in some batches.

    Args:
        batches: rows and phrases of batches, as training draws them.

    Returns:
        For each concept, 0.5 over the share of the known answers that are no, and 0.5 over that of
        those that are yes, each at most `MOST`.
    """
    counts = Counter(
        (phrase.concept, presence(row, phrase.concept))
        for rows, phrases in batches
        for phrase in phrases
        for row in rows
    )
    weights = {}
    for concept in {concept for concept, _ in counts}:
        absent, shown = counts[concept, False], counts[concept, True]
        if absent and shown:
            half = 0.5 * (absent + shown)
            weights[concept] = PresenceWeights(min(half / absent, MOST), min(half / shown, MOST))
    return weights


def weigh_presence(
    targets: RegionTargets, phrases: Sequence[Phrase], weights: Mapping[str, PresenceWeights]
) -> RegionTargets:
    """Return targets whose known presences have the weights of their concepts, or else 1.

    Args:
        targets: targets of the P phrases.
        phrases: the phrases.
        weights: weights of some concepts.
    """
    even = PresenceWeights(1.0, 1.0)
    of_phrase = [weights.get(phrase.concept, even) for phrase in phrases]
    absent = torch.tensor([each.absent for each in of_phrase])
    shown = torch.tensor([each.shown for each in of_phrase])
    weight = targets.presence_weight * torch.where(targets.presence > 0, shown, absent)
    return replace(targets, presence_weight=weight)
