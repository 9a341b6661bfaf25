"""Output of the frozen layers of the text encoder, computed once for each report of a run.

    reports -> embeddings and frozen layers, without dropout -> <folder>/text-<key>/000000.npy, ...
                                                                tokens x D float32, 512 reports each
    batch of reports --their tokens from the memory maps--> trained layers

The key is a digest of the frozen weights, the tokenizer, the reports and the longest length, so
that states never belong to another model or text. A run that is resumed has the frozen weights of
its checkpoint, even if the files of the text encoder have changed. A file is complete or absent: a
build that was killed continues with the missing files. Processes share out the files, and then read
all of them. Different padding rounds differently: states agree with those of a step to about 6e-7.
"""

import hashlib
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from training.atomic_write import write_atomically
from training.config.model import TextConfig
from training.data.text.token_lengths import token_counts
from training.model.text_encoder import LowerStates, TextEncoder, padded_length, tokenize
from training.progress import track
from training.refusal import DataRefused, RunRefused

_BLOCK, _BATCH = 512, 32
"""Reports of a file, and of one pass through the layers."""
_OPEN_FILES = 256


@dataclass(frozen=True)
class _Reports:
    """Different reports in order, and the tokens that each of them has.

    Attributes:
        texts: reports.
        lengths: number of tokens of each report, after cutting.
    """

    texts: Sequence[str]
    lengths: NDArray[np.int32]

    @property
    def blocks(self) -> range:
        """Numbers of the files."""
        return range(-(-len(self.texts) // _BLOCK))


class KeptText:
    """Memory-mapped output of the frozen layers, by report."""

    def __init__(self, folder: Path, reports: _Reports, multiple: int) -> None:
        """Open the files in a folder.

        Args:
            folder: folder with the file of every block.
            reports: reports in the order of the files.
            multiple: lengths are padded to a multiple of this number of tokens.
        """
        self._folder, self._multiple = folder, multiple
        self._number = {text: number for number, text in enumerate(reports.texts)}
        self._ends = _ends_in_blocks(reports.lengths)
        self._lengths = reports.lengths
        self._block = lru_cache(maxsize=_OPEN_FILES)(self._open)

    def states(self, texts: Sequence[str]) -> LowerStates:
        """Return the states of some reports, padded with zeros to the longest of them."""
        numbers = [self._number[text] for text in texts]
        lengths = torch.from_numpy(self._lengths[numbers])
        longest = padded_length(int(lengths.max()), self._multiple)
        rows = [self._of_report(number) for number in numbers]
        hidden = torch.zeros(len(rows), longest, rows[0].shape[1])
        for row, kept in zip(hidden, rows, strict=True):
            row[: len(kept)] = torch.tensor(kept)
        mask = torch.arange(longest)[None] < lengths[:, None]
        return LowerStates(hidden, mask.long())

    def _of_report(self, number: int) -> NDArray[np.float32]:
        end = self._ends[number]
        states: NDArray[np.float32] = self._block(number // _BLOCK)[
            end - self._lengths[number] : end
        ]
        return states

    def _open(self, block: int) -> NDArray[np.float32]:
        states: NDArray[np.float32] = np.load(_path(self._folder, block), mmap_mode="r")
        return states


def keep_frozen_text(
    fabric: Fabric,
    encoder: TextEncoder,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    config: TextConfig,
    limit_gb: float,
    folder: Path,
) -> KeptText:
    """Compute what is missing of the frozen layers' output for some reports, and open it.

    Args:
        fabric: launched processes; each computes its share of the files.
        encoder: text encoder with its frozen weights.
        tokenizer: its tokenizer.
        texts: reports; equal ones are kept once.
        config: configuration of the text encoder.
        limit_gb: largest size of the files, in GB.
        folder: folder of the caches.

    Raises:
        RunRefused: the files would be larger than the limit, or than the space on the disk.
    """
    different = list(dict.fromkeys(texts))
    with fabric.rank_zero_first():
        lengths = token_counts(tokenizer, different, config.max_tokens, folder)
    reports = _Reports(different, lengths)
    target = folder / f"text-{_key(encoder, tokenizer, reports, config)}"
    missing = [block for block in reports.blocks if not _path(target, block).is_file()]
    fabric.barrier()  # every process has seen the same files before one writes the next
    _check_size(fabric, encoder, reports, missing, limit_gb, target)
    own = missing[fabric.global_rank :: fabric.world_size]
    _compute(encoder.to(fabric.device), tokenizer, reports, config.max_tokens, own, target)
    fabric.barrier()
    return KeptText(target, reports, config.pad_to_multiple)


def _check_size(
    fabric: Fabric,
    encoder: TextEncoder,
    reports: _Reports,
    missing: Sequence[int],
    limit_gb: float,
    folder: Path,
) -> None:
    """Say how large the states are, and refuse those that are too large."""
    tokens = int(reports.lengths.sum(dtype=np.int64))
    size = 4 * encoder.width * tokens
    about = f"{len(reports.texts)} reports, {tokens} tokens, {size / 1e9:.2f} GB"
    if size > limit_gb * 1e9:
        raise RunRefused(f"frozen_text_gb: {about} are more than {limit_gb:g} GB")
    folder.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder).free, size * len(missing) / len(reports.blocks)
    if needed > free:
        raise DataRefused(f"frozen_text_gb: {about}, but {folder} has {free / 1e9:.2f} GB left")
    if fabric.is_global_zero:
        print(f"frozen text layers: {about} in {folder}; to compute: {len(missing)} files")


@torch.no_grad()
def _compute(
    encoder: TextEncoder,
    tokenizer: PreTrainedTokenizerBase,
    reports: _Reports,
    max_tokens: int,
    blocks: Sequence[int],
    folder: Path,
) -> None:
    """Write the files of some blocks; the mode of the encoder is restored."""
    mode = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    for block in track(blocks, "frozen text layers"):
        start = block * _BLOCK
        lengths = reports.lengths[start : start + _BLOCK]
        ends = np.cumsum(lengths)
        states = np.empty((ends[-1], encoder.width), dtype=np.float32)
        order = np.argsort(lengths, kind="stable")  # reports of one pass have similar lengths
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            tokens = tokenize(tokenizer, [reports.texts[start + i] for i in rows], max_tokens)
            hidden = encoder.lower(tokens.input_ids.to(device), tokens.attention_mask.to(device))
            for i, row in zip(rows, hidden.float().cpu().numpy(), strict=True):
                states[ends[i] - lengths[i] : ends[i]] = row[: lengths[i]]
        content = io.BytesIO()
        np.save(content, states)
        write_atomically(_path(folder, block), content.getbuffer())
    encoder.train(mode)


def _path(folder: Path, block: int) -> Path:
    return folder / f"{block:06d}.npy"


def _ends_in_blocks(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where the tokens of each report end in its file."""
    ends: NDArray[np.int64] = lengths.cumsum(dtype=np.int64)
    starts: NDArray[np.int64] = ends - lengths
    first = np.arange(len(lengths)) // _BLOCK * _BLOCK  # the first report of the file
    inside: NDArray[np.int64] = ends - starts[first]
    return inside


def _key(
    encoder: TextEncoder, tokenizer: PreTrainedTokenizerBase, reports: _Reports, config: TextConfig
) -> str:
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(f"{config.max_tokens} {_BLOCK}".encode())
    for module in encoder.frozen_modules(embeddings=True):
        for name, weight in module.state_dict().items():
            digest.update(f"{name} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    for text in reports.texts:
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()[:16]
