"""Phrases are normalised, never truncated, and encoded once as long as they are cached."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers

from radiograph.errors import InvalidVersion, UnusablePhrase
from radiograph.manifest import ModelManifest, TextSpec
from radiograph.repository.repository import Repository
from service.backends.base import FloatArray
from service.errors import BackendFailure
from service.inference.phrase_encoder import PhraseEncoder, normalise
from tests.builders.models.versions import tiny_version
from tests.builders.service.backends.fake_backend import FakeBackend


@given(st.text())
def test_a_normalised_phrase_is_stable_and_on_one_line(text: str) -> None:
    try:
        phrase = normalise(text, 200)
    except UnusablePhrase:
        return
    assert normalise(phrase, 600) == phrase
    assert phrase.isprintable() or not phrase.isascii()
    assert len(phrase.splitlines()) == 1
    phrase.encode("utf-8")


def test_composed_and_decomposed_letters_are_one_phrase() -> None:
    assert normalise("e\u0301paule \n gauche", 50) == "\u00e9paule gauche"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * 51, "at most 50 characters"),
        ("a\x00b", "control character"),
        ("turned \u202e round", "control character"),
        ("\ud800", "control character"),
        ("\ue000", "control character"),
    ],
)
def test_a_phrase_without_usable_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UnusablePhrase, match=reason):
        normalise(text, 50)


@pytest.mark.parametrize("text", ["胸水", "انصباب جنبي", "लकीर", "a\u200db"])
def test_any_script_and_its_joiners_are_allowed(text: str) -> None:
    assert normalise(text, 50) == text


@pytest.fixture
def manifest(tiny_models: Path) -> ModelManifest:
    return Repository(tiny_models).load_manifest("tiny", 1)


@pytest.fixture
def spec(manifest: ModelManifest) -> TextSpec:
    assert manifest.text is not None
    return manifest.text


@pytest.fixture
def backend(manifest: ModelManifest) -> FakeBackend:
    return FakeBackend(manifest)


@pytest.fixture
def encoder(tiny_models: Path, backend: FakeBackend, spec: TextSpec) -> PhraseEncoder:
    return PhraseEncoder(backend, spec, Repository(tiny_models).folder("tiny", 1), cache_size=2)


def test_a_phrase_becomes_one_row_of_token_ids(encoder: PhraseEncoder) -> None:
    tokens = encoder.tokenize("bright left")
    assert tokens.input_ids.tolist() == [[2, 4, 6, 3]]  # [CLS] bright left [SEP]
    assert tokens.attention_mask.tolist() == [[1, 1, 1, 1]]
    assert tokens.input_ids.dtype == np.int64


def test_a_phrase_is_never_truncated(encoder: PhraseEncoder) -> None:
    encoder.tokenize(" ".join(["left"] * (tiny_version.MAX_TOKENS - 2)))
    with pytest.raises(UnusablePhrase, match=f"at most {tiny_version.MAX_TOKENS} tokens"):
        encoder.tokenize(" ".join(["left"] * (tiny_version.MAX_TOKENS - 1)))


def test_a_phrase_without_a_token_is_refused(
    tiny_models: Path, tmp_path: Path, backend: FakeBackend, spec: TextSpec
) -> None:
    file = Repository(tiny_models).folder("tiny", 1) / spec.tokenizer
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.normalizer = normalizers.Replace("-", "")
    tokenizer.save(str(tmp_path / spec.tokenizer))
    encoder = PhraseEncoder(backend, spec, tmp_path, cache_size=1)
    with pytest.raises(UnusablePhrase, match="no word"):
        encoder.tokenize("--")


def test_a_file_that_is_no_tokenizer_is_an_invalid_version(
    tmp_path: Path, backend: FakeBackend, spec: TextSpec
) -> None:
    (tmp_path / spec.tokenizer).write_text("{}")
    with pytest.raises(InvalidVersion, match="not a tokenizer"):
        PhraseEncoder(backend, spec, tmp_path, cache_size=1)


def test_each_phrase_is_encoded_alone_and_once(
    encoder: PhraseEncoder, backend: FakeBackend
) -> None:
    assert encoder.cached(("bright",)) is None
    features = encoder.encode(("bright", "dark", "bright"))
    assert features[:, 0].tolist() == [9, 10, 9]  # sums of the token ids
    assert backend.calls == [("text", 1), ("text", 1)]
    cached = encoder.cached(("dark", "bright"))
    assert cached is not None
    assert cached[:, 0].tolist() == [10, 9]


def test_the_phrase_that_was_used_longest_ago_is_evicted(
    encoder: PhraseEncoder, backend: FakeBackend
) -> None:
    encoder.encode(("bright", "dark"))
    assert encoder.cached(("bright",)) is not None  # used again, so `dark` goes first
    encoder.encode(("left",))
    assert encoder.cached(("bright", "left")) is not None
    assert encoder.cached(("dark",)) is None


def test_a_cache_of_no_size_keeps_nothing(
    tiny_models: Path, backend: FakeBackend, spec: TextSpec
) -> None:
    folder = Repository(tiny_models).folder("tiny", 1)
    encoder = PhraseEncoder(backend, spec, folder, cache_size=0)
    assert encoder.encode(("bright",))[0, 0] == 9
    assert encoder.cached(("bright",)) is None


class BlockedText(FakeBackend):
    """Encodes text when the test lets it, and fails while it is told to."""

    def __init__(self, manifest: ModelManifest) -> None:
        super().__init__(manifest)
        self.begun, self.go = threading.Event(), threading.Event()
        self.fails = False

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        self.begun.set()
        assert self.go.wait(60)
        if self.fails:
            raise BackendFailure("a graph failed")
        return super().text(input_ids, attention_mask)


@pytest.mark.parametrize("fails", [False, True])
def test_callers_of_one_phrase_share_its_run_and_its_failure(
    tiny_models: Path, manifest: ModelManifest, spec: TextSpec, fails: bool
) -> None:
    backend = BlockedText(manifest)
    backend.fails = fails
    encoder = PhraseEncoder(backend, spec, Repository(tiny_models).folder("tiny", 1), 2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(encoder.encode, ("bright",))
        assert backend.begun.wait(60)
        second = threads.submit(encoder.encode, ("bright",))
        backend.go.set()
        failures = [call.exception(timeout=60) for call in (first, second)]
    assert [type(error) for error in failures] == [BackendFailure if fails else type(None)] * 2
    assert len(backend.calls) == (0 if fails else 1)


def test_a_failure_is_not_cached(
    tiny_models: Path, manifest: ModelManifest, spec: TextSpec
) -> None:
    backend = BlockedText(manifest)
    backend.go.set()
    backend.fails = True
    encoder = PhraseEncoder(backend, spec, Repository(tiny_models).folder("tiny", 1), 2)
    with pytest.raises(BackendFailure):
        encoder.encode(("bright",))
    backend.fails = False
    assert encoder.encode(("bright",))[0, 0] == 9
