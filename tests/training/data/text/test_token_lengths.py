"""Number of tokens of each report."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from training.config.model import TextConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.data.text.token_lengths import token_counts
from training.model.text_encoder import build_tokenizer

TURNS = [MicroBatchIndex(step) for step in range(20)]


@dataclass(frozen=True)
class _Batch:
    image: Tensor
    boxes: list[dict[int, Tensor]]
    names: tuple[str, ...]


def test_lengths_are_counted_once_and_cut(text_encoder: Path, tmp_path: Path) -> None:
    """The tokenizer has single letters as words' pieces: letters, [CLS] and [SEP]."""
    tokenizer = build_tokenizer(TextConfig(name=str(text_encoder)))
    assert token_counts(tokenizer, ["lung", "a"], 32, tmp_path).tolist() == [6, 3]
    (kept,) = tmp_path.glob("lengths-*.npy")
    written = kept.stat().st_mtime_ns
    assert token_counts(tokenizer, ["lung", "a"], 4, tmp_path).tolist() == [4, 3]
    assert kept.stat().st_mtime_ns == written
    assert token_counts(tokenizer, ["lungs", "a"], 32, tmp_path).tolist() == [7, 3]
