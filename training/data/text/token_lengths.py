"""How many tokens each report has, counted once and kept beside the cache.

<folder>/lengths-<digest of tokenizer and texts>.npy   int32, one a report
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

_AT_ONCE = 4096


def token_counts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, folder: Path
) -> NDArray[np.int32]:
    """Tokens of each text, cut at `max_tokens`.

    Args:
        tokenizer: of the text encoder, a fast one.
        texts: reports.
        max_tokens: longer ones are cut.
        folder: where the counts are kept for the next run.
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
    for start in range(0, len(texts), _AT_ONCE):
        encoded = tokenizer(list(texts[start : start + _AT_ONCE]), truncation=False, padding=False)
        counts += [len(ids) for ids in encoded["input_ids"]]
    return np.array(counts, dtype=np.int32)
