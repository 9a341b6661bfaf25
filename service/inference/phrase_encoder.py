"""Phrases: what a client asks for in words, made safe and turned into features once.

    text -> normalise (NFC, white space) -> token ids -> Backend.text -> features (D), kept

Nothing here looks a word up in a table: every phrase goes through the text encoder.
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

# Controls, surrogates, private use and unassigned code points carry no words.
_NO_WORDS = {"Cc", "Cs", "Co", "Cn"}
# These reorder the text around them, so that a phrase would read as another one.
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def normalise(text: str, max_chars: int) -> str:
    """A phrase in NFC with single spaces, whatever its script or direction.

    Raises:
        UnusablePhrase: empty, longer than `max_chars`, or with a control character.
    """
    if len(text) > max_chars:  # before any work that grows with the length
        raise UnusablePhrase(f"a phrase has at most {max_chars} characters")
    phrase = " ".join(unicodedata.normalize("NFC", text).split())
    if not phrase:
        raise UnusablePhrase("a phrase is empty")
    if any(_forbidden(character) for character in phrase):
        raise UnusablePhrase("a phrase holds a control character")
    return phrase


def _forbidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _NO_WORDS
        or unicodedata.bidirectional(character) in _REORDERING
    )


@dataclass(frozen=True)
class TokenIds:
    """One phrase as the text graph reads it: `input_ids` and `attention_mask`, 1 x T, int64."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


class PhraseEncoder:
    """The text side of one version, with the features of the latest phrases kept.

    Each phrase runs alone: in a padded, quantised batch its features would depend on the
    phrases beside it, and the same question could get two answers.
    """

    def __init__(self, backend: Backend, spec: TextSpec, folder: Path, kept: int) -> None:
        """Read the tokenizer that travels with the version.

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
        self._kept = kept
        self._features: OrderedDict[str, FloatArray] = OrderedDict()
        self._running: dict[str, Future[FloatArray]] = {}
        self._lock = threading.Lock()

    def tokens(self, phrase: str) -> TokenIds:
        """Token ids of a normalised phrase.

        Raises:
            UnusablePhrase: more tokens than the text encoder reads, or none at all. A phrase
                is never cut: its end could turn its meaning round.
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

    def features(self, phrases: Sequence[str]) -> FloatArray:
        """Features of normalised phrases that have passed `tokens`, P x D, float32. Blocks."""
        return np.concatenate([self._one(phrase) for phrase in phrases])

    def known(self, phrases: Sequence[str]) -> FloatArray | None:
        """The same without running anything, or None when one of them is not kept."""
        with self._lock:
            if not all(phrase in self._features for phrase in phrases):
                return None
            return np.concatenate([self._use(phrase) for phrase in phrases])

    def _use(self, phrase: str) -> FloatArray:
        """Features that are kept, the latest to be dropped from now on."""
        self._features.move_to_end(phrase)
        return self._features[phrase]

    def _one(self, phrase: str) -> FloatArray:
        """Features of one phrase; a phrase that two requests ask for at once runs once."""
        with self._lock:
            if phrase in self._features:
                return self._use(phrase)
            future = self._running.get(phrase)
            mine = future is None
            if future is None:
                future = self._running[phrase] = Future()
        if mine:
            self._compute(phrase, future)
        return future.result()

    def _compute(self, phrase: str, future: "Future[FloatArray]") -> None:
        try:
            tokens = self.tokens(phrase)
            features = self._backend.text(tokens.input_ids, tokens.attention_mask)
        except Exception as error:  # noqa: BLE001 - raised again by whoever asked
            with self._lock:
                del self._running[phrase]
            future.set_exception(error)
            return
        with self._lock:
            del self._running[phrase]
            self._features[phrase] = features
            while len(self._features) > self._kept:
                self._features.popitem(last=False)
        future.set_result(features)
