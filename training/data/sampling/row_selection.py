"""Selection of the training rows of a fine-tuning, and how often an epoch shows each.

training split --rows with a label that a head learns, of a fraction of the patients--> pool
"""

import numpy as np

from training.config.finetune import FinetuneConfig
from training.data.annotations.mask_planes import place_of
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample
from training.data.rows.label_subsets import labelled_subset
from training.refusal import RunRefused


def training_pool(cache: Cache, config: FinetuneConfig) -> list[int]:
    """Return the training rows, as indices into the cache; rare rows occur more than once.

    Args:
        cache: all rows.
        config: `fraction` selects rows, and `repeat` (`table:<name>`, `masks:<structure>`,
            `masks:<table>` or `boxes:<label>` -> times) repeats them.

    Raises:
        RunRefused: a fraction is requested, and no row has a label that a head learns.
    """
    rows = cache.where("train")
    if config.fraction is not None:
        rows = _labelled(cache, rows, config, config.fraction)
    return [i for i in rows for _ in range(_times(cache.samples[i], config.repeat))]


def is_labelled(sample: Sample, config: FinetuneConfig) -> bool:
    """Return whether a radiograph has a label, mask or box that a head of the run learns."""
    if set(config.findings) & sample.row.findings.keys() or set(config.masks) & sample.known:
        return True
    drawn = {name for name, _ in sample.boxes} | sample.known
    if set(config.boxes) & (drawn | set(sample.row.complete_boxes)):
        return True
    return config.regions and bool(drawn)


def _labelled(cache: Cache, rows: list[int], config: FinetuneConfig, fraction: float) -> list[int]:
    known = [i for i in rows if is_labelled(cache.samples[i], config)]
    if not known:
        raise RunRefused("no training row has a label that a head of this run asks for")
    patients = [cache.samples[i].row.patient_id for i in known]
    positive = [_is_positive(cache, i, config) for i in known]
    return [known[n] for n in labelled_subset(patients, positive, fraction, config.fraction_seed)]


def _is_positive(cache: Cache, row: int, config: FinetuneConfig) -> bool:
    """Return whether a row is positive: it has a finding, a box or a mask that is not empty.

    A fraction of the labels holds the same share of positive and of negative patients.
    """
    sample = cache.samples[row]
    if any(sample.row.findings.get(name, False) for name in config.findings):
        return True
    if any(name in config.boxes for name, _ in sample.boxes):
        return True
    drawn = (place_of(n, cache.structures) for n in config.masks if n in cache.structures)
    return any(bool(np.any(cache.masks[row][plane] & bit)) for plane, bit in drawn)


def _times(sample: Sample, repeat: dict[str, int]) -> int:
    keys = {f"table:{sample.row.table}"} | {f"masks:{name}" for name in sample.known}
    keys |= {f"boxes:{name}" for name, _ in sample.boxes}
    keys |= {f"masks:{sample.row.table}"} if sample.known else set()
    return max([repeat.get(key, 1) for key in keys])
