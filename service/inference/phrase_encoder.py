"""Phrase encoder: text from a client, made safe and turned into features.

    text --normalise--> NFC, single spaces --> token ids --Backend.text--> features, D, cached

No phrase is looked up in a table of known ones: each goes through the text encoder.
"""

import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from radiograph.errors import InvalidVersion, UnusablePhrase
from radiograph.manifest import TextSpec
from service.backends.base import Backend, FloatArray

# General categories without text: control, surrogate, private use and unassigned characters.
_FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Co", "Cn"}
# Explicit directional characters: they reorder the text around them, so that a phrase would be
# displayed as another one. Source: Unicode Standard Annex 9, 2.1 to 2.5.
_REORDERING_CLASSES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def normalise(text: str, max_chars: int) -> str:
    """Return a phrase in NFC with single spaces; any script and direction is allowed.

    Raises:
        UnusablePhrase: the phrase is empty, longer than `max_chars`, or has a control character.
    """
    if len(text) > max_chars:  # before any work that grows with the length
        raise UnusablePhrase(f"a phrase has at most {max_chars} characters")
    phrase = " ".join(unicodedata.normalize("NFC", text).split())
    if not phrase:
        raise UnusablePhrase("a phrase is empty")
    if any(_is_forbidden(character) for character in phrase):
        raise UnusablePhrase("a phrase holds a control character")
    return phrase


def _is_forbidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _FORBIDDEN_CATEGORIES
        or unicodedata.bidirectional(character) in _REORDERING_CLASSES
    )


@dataclass(frozen=True)
class TokenIds:
    """One phrase as the text graph reads it: `input_ids` and `attention_mask`, 1 x T, int64."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


class PhraseEncoder:
    """Text encoder of one version, with a cache of the phrases used last. Thread-safe.

    Each phrase runs alone: in a padded, quantised batch its features would depend on the other
    phrases, and the same question could get two answers.

    Args:
        backend: runs the text graph.
        spec: tokenizer and length of the text encoder.
        folder: the version's folder.
        cache_size: phrases whose features are kept.
    """

    def __init__(self, backend: Backend, spec: TextSpec, folder: Path, cache_size: int) -> None:
        """Read the tokenizer of the version.

        Raises:
            InvalidVersion: the tokenizer cannot be read.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / spec.tokenizer))
        except Exception as error:
            raise InvalidVersion(f"{spec.tokenizer}: not a tokenizer") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._backend = backend
        self._max_tokens = spec.max_tokens
        self._cache_size = cache_size
        self._cache: OrderedDict[str, FloatArray] = OrderedDict()
        self._running: dict[str, Future[FloatArray]] = {}
        self._lock = threading.Lock()

    def tokenize(self, phrase: str) -> TokenIds:
        """Return the token ids of a normalised phrase.

        Raises:
            UnusablePhrase: the phrase has more tokens than the text encoder reads, or none. It
                is never truncated, for its end could reverse its meaning.
        """
        encoding = self._tokenizer.encode(phrase)
        if len(encoding.ids) > self._max_tokens:
            raise UnusablePhrase(f"a phrase has at most {self._max_tokens} tokens")
        if not any(special == 0 for special in encoding.special_tokens_mask):
            raise UnusablePhrase("a phrase holds no word that the text encoder reads")
        return TokenIds(
            np.array([encoding.ids], dtype=np.int64),
            np.array([encoding.attention_mask], dtype=np.int64),
        )

    def encode(self, phrases: Sequence[str]) -> FloatArray:
        """Return the features of normalised phrases, P x D, float32. Blocks.

        Raises:
            UnusablePhrase: `tokenize` refuses a phrase.
            BackendFailure: the text graph failed.
        """
        return np.concatenate([self._encode_one(phrase) for phrase in phrases])

    def cached(self, phrases: Sequence[str]) -> FloatArray | None:
        """Return the features, P x D, without running anything; None unless all are cached."""
        with self._lock:
            if not all(phrase in self._cache for phrase in phrases):
                return None
            return np.concatenate([self._recall(phrase) for phrase in phrases])

    def _recall(self, phrase: str) -> FloatArray:
        """Return cached features, and make them the last to be evicted."""
        self._cache.move_to_end(phrase)
        return self._cache[phrase]

    def _encode_one(self, phrase: str) -> FloatArray:
        """Return the features of one phrase; concurrent calls for one phrase run it once."""
        with self._lock:
            if phrase in self._cache:
                return self._recall(phrase)
            future = self._running.get(phrase)
            is_first = future is None
            if future is None:
                future = self._running[phrase] = Future()
        if is_first:
            self._compute(phrase, future)
        return future.result()

    def _compute(self, phrase: str, future: "Future[FloatArray]") -> None:
        """Run the text graph, and settle the future of every caller that waits for the phrase."""
        try:
            tokens = self.tokenize(phrase)
            features = self._backend.text(tokens.input_ids, tokens.attention_mask)
        except Exception as error:  # noqa: BLE001 - raised again in every caller
            with self._lock:
                del self._running[phrase]
            future.set_exception(error)
            return
        with self._lock:
            del self._running[phrase]
            self._cache[phrase] = features
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        future.set_result(features)
