"""Masks of organs for radiographs that nobody annotated, from an earlier fine-tuning.

    training rows of some tables --teacher, twice: as they are, and augmented--> two masks
    two masks that agree --cleaned--> the mask of the first, without what is unsure

The teacher is judged by its own agreement: a mask is used only if both views give nearly the same
one. Masks that a table has are never replaced. Taught masks are kept in a file of their own in the
folder of the cache, for other processes and for a run that is resumed.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiograph.manifest import MaskCleaning
from radiograph.postprocess.components import clean_mask
from training.atomic_write import write_atomically
from training.config.augmentation import AppearanceConfig, AugmentConfig
from training.config.finetune import FinetuneConfig, TeacherConfig
from training.data.annotations.mask_planes import IGNORE, place_of
from training.data.augmentation import warp
from training.data.augmentation.augment import augment
from training.data.cache.cache import Cache, RowArrays
from training.data.cache.sample_index import Sample
from training.engine.checkpoint import Checkpoint, read_run
from training.finetune.initial_weights import fitting
from training.finetune.module import Finetuning, model_weights
from training.finetune.past_runs import architecture, runs_of
from training.heads.segmentation import SegmentHead
from training.progress import track
from training.refusal import WeightsRefused

BATCH = 16
SECOND_VIEW = AugmentConfig(
    rotate_deg=6,
    translate=0.04,
    scale=0.08,
    appearance=AppearanceConfig(
        cutout_share=0, border_share=0, white_border_share=0, inverted_share=0
    ),
)
"""Changes between the two views of the teacher."""
UNSURE = (0.3, 0.7)
"""Probabilities between which a pixel is neither inside nor outside a mask."""
MIN_SHARE = 0.01
"""Least part of the image that a mask covers."""
_Known = dict[int, frozenset[str]]
_Planes = dict[int, NDArray[np.uint8]]


@dataclass(frozen=True)
class _Views:
    """Probabilities of K structures in B images.

    Attributes:
        first: B x K x S x S of the images as they are.
        agreement: B x K, Dice of the masks of both views.
    """

    first: Tensor
    agreement: Tensor


def with_taught_masks(cache: Cache, config: TeacherConfig, seed: int) -> Cache:
    """Return a cache in which rows without masks have those of a teacher, where it is sure.

    Args:
        cache: all rows of a run.
        config: the teacher, and the tables that it annotates.
        seed: seed of the second views.

    Raises:
        RunRefused: the checkpoint is no fine-tuning with masks that the tables have as well.
    """
    path = cache.folder / f"taught_{_digest(config, seed)}.npz"
    if not path.is_file():
        _write(path, *_teach(cache, config, seed))
    planes, known = _read(path)
    return replace(
        cache, masks=_TaughtMasks(cache.masks, planes), samples=_TaughtSamples(cache.samples, known)
    )


def _teach(cache: Cache, config: TeacherConfig, seed: int) -> tuple[_Planes, _Known]:
    """Return the planes and the new structures of each row that the teacher is sure of."""
    teacher = _read_teacher(config.run)
    structures = [name for name in teacher.config.masks if name in cache.structures]
    if not structures:
        raise WeightsRefused(
            f"teacher.run: {config.run} has no masks of structures that the data sets have"
        )
    rows = [
        i
        for i in cache.where("train")
        if cache.samples[i].row.table in config.tables
        and not set(structures) <= cache.samples[i].known
    ]
    planes: _Planes = {}
    known: _Known = {}
    for row, views, index in _look_at(teacher, cache, rows, seed):
        sure = {
            name
            for k, name in enumerate(teacher.config.masks)
            if name in structures and name not in cache.samples[row].known
            if views.agreement[index, k] >= config.agreement
        }
        masks = {n: views.first[index, teacher.config.masks.index(n)].numpy() for n in sure}
        drawn, of_row = _annotate(cache, row, masks, teacher.config.clean)
        if drawn:
            known[row], planes[row] = drawn, of_row
    print(f"rows with taught masks: {len(known)} of {len(rows)}")
    return planes, known


def _digest(config: TeacherConfig, seed: int) -> str:
    """Return a digest of everything that the taught masks of a cache depend on."""
    facts = config.model_dump_json(exclude={"run"}) + str(seed)
    return hashlib.sha256(config.run.read_bytes() + facts.encode()).hexdigest()[:16]


def _write(path: Path, planes: _Planes, known: _Known) -> None:
    """Write taught masks at once, so that an interrupted run leaves no part of them."""
    content = io.BytesIO()
    rows = list(planes)
    names = json.dumps([sorted(known[row]) for row in rows])
    stacked = np.stack([planes[row] for row in rows]) if rows else np.zeros((0, 0), np.uint8)
    np.savez_compressed(content, rows=np.array(rows, np.int64), planes=stacked, names=names)
    write_atomically(path, content.getbuffer())


def _read(path: Path) -> tuple[_Planes, _Known]:
    with np.load(path, allow_pickle=False) as file:
        rows, planes, names = file["rows"].tolist(), file["planes"], json.loads(str(file["names"]))
    known = {row: frozenset(each) for row, each in zip(rows, names, strict=True)}
    return dict(zip(rows, planes, strict=True)), known


def check_teacher(path: Path) -> tuple[Checkpoint, FinetuneConfig]:
    """Read the checkpoint of a teacher, and its configuration.

    Raises:
        RunRefused: there is none, or it is no fine-tuning with masks.
    """
    checkpoint, config = read_run(path, FinetuneConfig, "teacher.run")
    if not config.masks:
        raise WeightsRefused(f"teacher.run: {path} is no fine-tuning with masks")
    return checkpoint, config


def _read_teacher(path: Path) -> Finetuning:
    checkpoint, config = check_teacher(path)
    module = Finetuning(config, *architecture(runs_of(checkpoint, config)))
    with fitting("teacher.run", path):
        module.load_state_dict(model_weights(checkpoint.weights))
    module.eval()
    return module


def _look_at(
    teacher: Finetuning, cache: Cache, rows: Sequence[int], seed: int
) -> Iterator[tuple[int, _Views, int]]:
    """Yield each row with the views of its batch and its index there."""
    for start in track(range(0, len(rows), BATCH), "taught masks"):
        chunk = rows[start : start + BATCH]
        pixels = np.stack([cache.images[i] for i in chunk])
        images = torch.from_numpy(pixels).unsqueeze(1).float() / 255
        views = _two_views(teacher, images, torch.Generator().manual_seed(seed + start))
        for index, row in enumerate(chunk):
            yield row, views, index


@torch.inference_mode()
def _two_views(teacher: Finetuning, images: Tensor, generator: torch.Generator) -> _Views:
    first = _probabilities(teacher, images)
    changed = augment(images, None, SECOND_VIEW, generator)
    second = _probabilities(teacher, changed.images) > 0.5
    grid = warp.sampling_grid(changed.geometry.matrix, images.shape[-1], images.device)
    moved = warp.warp(first, grid, "bilinear") > 0.5
    both = (moved & second).sum(dim=(2, 3)).float()
    total = (moved.sum(dim=(2, 3)) + second.sum(dim=(2, 3))).float()
    return _Views(first, 2 * both / total.clamp_min(1))


def _probabilities(teacher: Finetuning, images: Tensor) -> Tensor:
    outputs = teacher.outputs(teacher.features(images))
    return outputs[SegmentHead.name]["logits"].sigmoid()


def _annotate(
    cache: Cache,
    row: int,
    masks: Mapping[str, NDArray[np.float32]],
    cleaning: Mapping[str, MaskCleaning],
) -> tuple[frozenset[str], NDArray[np.uint8]]:
    """Return the structures that a row now shows, and its planes."""
    planes = cache.masks[row].copy()
    drawn: set[str] = set()
    for name, probability in masks.items():
        mask = probability > 0.5
        if name in cleaning:
            mask = clean_mask(mask, cleaning[name])
        if mask.mean() < MIN_SHARE:
            continue
        plane, bit = place_of(name, cache.structures)
        planes[plane] |= mask * np.uint8(bit)
        planes[0] |= ((probability > UNSURE[0]) & (probability < UNSURE[1])) * np.uint8(IGNORE)
        drawn.add(name)
    return frozenset(drawn), planes


class _TaughtMasks:
    """Masks of a cache, some of them replaced."""

    def __init__(self, masks: RowArrays, taught: Mapping[int, NDArray[np.uint8]]) -> None:
        self._before, self._taught, self.shape = masks, taught, masks.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        number = range(len(self))[index]
        found = self._taught.get(number)
        return self._before[number] if found is None else found


class _TaughtSamples(Sequence[Sample]):
    """Samples of a cache, some of them with further known structures."""

    def __init__(self, samples: Sequence[Sample], known: _Known) -> None:
        self._samples, self._known = samples, known

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        sample = self._samples[number]
        if not (names := self._known.get(number)):
            return sample
        organs = (*sample.row.organs, *sorted(names - set(sample.row.organs)))
        return replace(sample, known=sample.known | names, row=replace(sample.row, organs=organs))
