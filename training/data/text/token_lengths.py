"""Number of tokens of each report, counted once and kept next to the cache.

<folder>/lengths-<digest of tokenizer and texts>.npy   int32, one for each report
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

_BATCH = 4096


def token_counts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, folder: Path
) -> NDArray[np.int32]:
    """Return the number of tokens of each text, at most `max_tokens`, int32.

    Args:
        tokenizer: fast tokenizer of the text encoder.
        texts: reports.
        max_tokens: number of tokens after which a report is cut.
        folder: folder in which the counts are kept for the next run.
    """
    path = folder / f"lengths-{_digest(tokenizer, texts)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, _count(tokenizer, texts))
        partial.replace(path)
    kept: NDArray[np.int32] = np.load(path)
    return np.minimum(kept, np.int32(max_tokens))


def _digest(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()[:16]


def _count(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> NDArray[np.int32]:
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer(list(texts[start : start + _BATCH]), truncation=False, padding=False)
        counts += [len(ids) for ids in encoded["input_ids"]]
    return np.array(counts, dtype=np.int32)
