"""Warnings of the checks on the pixels, beside those of the header and of the statistics.

raw outputs of the heads of checks -> probabilities --at least the threshold--> notices
statistics of the training images --outside--------------------------'
"""

from collections.abc import Iterator, Sequence

from radiograph.postprocess.heads import Finding
from radiograph.terminology.checks import Check
from service.inference.results import Notice, OutOfDistributionScore

LATERAL_HEADER = "lateral_view"
"""Warning of the reader that the header names a lateral projection."""
_TURNS = {
    Check.UPSIDE_DOWN: "upside down",
    Check.TURNED_LEFT: "turned to the left by a quarter",
    Check.TURNED_RIGHT: "turned to the right by a quarter",
}


def notices(
    warnings: Sequence[str], score: OutOfDistributionScore | None, checks: Sequence[Finding] = ()
) -> tuple[Notice, ...]:
    """Return the warnings of a result: those of the reader, then those of the pixels.

    Args:
        warnings: warnings of the reader, each `code: message` or a message alone.
        score: the image's distance from the training images, or None if it is not known.
        checks: probabilities of the checks, of the image as its header turned it upright.
    """
    found = [Notice.of(text) for text in warnings]
    raised = {Check(check.name): check for check in checks if check.positive}
    if (notice := _out_of_domain(score, raised.get(Check.OUT_OF_DOMAIN))) is not None:
        found.append(notice)
    if Check.OUT_OF_DOMAIN not in raised:  # nothing else is known of a picture of no chest
        lateral = any(notice.code == LATERAL_HEADER for notice in found)
        found += _of_chest(raised, known_lateral=lateral)
    return tuple(found)


def _out_of_domain(score: OutOfDistributionScore | None, check: Finding | None) -> Notice | None:
    """Return one warning for both signs of an image that the model was not made for."""
    reasons = []
    if score is not None and score.outside:
        reasons.append(f"score {score.score:.2f}, threshold {score.threshold:.2f}")
    if check is not None:
        reasons.append(f"no chest radiograph with {_probability(check)}")
    if not reasons:
        return None
    message = (
        f"The image is unlike the chest radiographs that the model was trained on "
        f"({'; '.join(reasons)}); do not rely on the answer."
    )
    return Notice("out_of_domain", message)


def _of_chest(raised: dict[Check, Finding], *, known_lateral: bool) -> Iterator[Notice]:
    """Yield the warnings about a radiograph of a chest.

    Args:
        raised: checks that reach their threshold.
        known_lateral: the header says that the projection is lateral, which needs no repetition.
    """
    lateral = raised.get(Check.LATERAL)
    if lateral is not None and not known_lateral:
        yield Notice(
            "pixels_look_lateral",
            f"The image looks like a lateral view ({_probability(lateral)}); the model knows "
            "frontal ones only.",
        )
    mirrored = raised.get(Check.MIRRORED)
    if mirrored is not None and lateral is None and not known_lateral:  # a lateral has no sides
        yield Notice(
            "pixels_look_mirrored",
            f"The image looks mirrored ({_probability(mirrored)}), or the heart is on the right "
            "of the body, which looks the same; names of sides are not to be relied on.",
        )
    turns = [check for check in _TURNS if check in raised]
    if turns:
        turn = max(turns, key=lambda check: raised[check].probability)
        yield Notice(
            "pixels_look_turned",
            f"The image looks {_TURNS[turn]} "
            f"({_probability(raised[turn])}); the model knows upright ones only.",
        )
    inverted = raised.get(Check.INVERTED)
    if inverted is not None:
        yield Notice(
            "pixels_look_inverted",
            f"Black and white look exchanged ({_probability(inverted)}); the model was trained on "
            "images that show air dark.",
        )


def _probability(check: Finding) -> str:
    return f"probability {check.probability:.3f}, threshold {check.threshold:.3f}"
