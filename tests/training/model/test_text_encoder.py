"""Padding: how far, and that it changes no report's embedding."""

from pathlib import Path

import pytest
import torch

from training.config.model import TextConfig
from training.model.text_encoder import TextEncoder, build_tokenizer, tokenize

TEXTS = ("clear", "the heart is large")


def test_reports_are_padded_to_the_longest_or_to_the_limit(text_encoder: Path) -> None:
    tokenizer = build_tokenizer(TextConfig(name=str(text_encoder)))
    longest = tokenize(tokenizer, TEXTS, 32)
    assert longest.attention_mask.sum(dim=1).max() == longest.input_ids.shape[1]
    assert tokenize(tokenizer, TEXTS, 32, "max_tokens").input_ids.shape == (2, 32)
    assert tokenize(tokenizer, TEXTS, 8, "max_tokens").input_ids.shape == (2, 8)


def test_padding_changes_no_embedding(text_encoder: Path) -> None:
    for pooling in ("cls", "mean"):
        config = TextConfig(name=str(text_encoder), pooling=pooling, max_tokens=32)
        encoder = TextEncoder(config).eval()
        tokenizer = build_tokenizer(config)
        alone = tokenize(tokenizer, TEXTS[:1], 32)
        padded = tokenize(tokenizer, TEXTS, 32, "max_tokens")
        assert bool((alone.attention_mask == 1).all())
        expected = encoder(alone.input_ids, alone.attention_mask)
        found = encoder(padded.input_ids, padded.attention_mask)[:1]
        torch.testing.assert_close(found, expected)


def test_the_mask_given_is_the_mask_that_bert_would_make(text_encoder: Path) -> None:
    config = TextConfig(name=str(text_encoder), max_tokens=32)
    encoder = TextEncoder(config).eval()
    tokens = tokenize(build_tokenizer(config), TEXTS, 32)
    theirs = encoder.bert(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    found = encoder(tokens.input_ids, tokens.attention_mask)
    torch.testing.assert_close(found, theirs.last_hidden_state[:, 0])


def test_frozen_layers_drop_out_unless_they_are_not_to(text_encoder: Path) -> None:
    def training(dropout: bool) -> list[bool]:
        config = TextConfig(
            name=str(text_encoder), frozen_layers=1, frozen_dropout=dropout, max_tokens=32
        )
        bert = TextEncoder(config).train().bert
        return [m.training for m in (bert.embeddings, *bert.encoder.layer)]

    layers = len(training(dropout=True)) - 2
    assert training(dropout=True) == [True, True, *[True] * layers]
    assert training(dropout=False) == [False, False, *[True] * layers]


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_the_last_layer_for_the_first_token_alone_has_equal_values_and_gradients(
    text_encoder: Path, frozen_layers: int
) -> None:
    config = TextConfig(name=str(text_encoder), frozen_layers=frozen_layers, max_tokens=32)
    ours, whole = TextEncoder(config).eval().double(), TextEncoder(config).eval().double()
    tokens = tokenize(build_tokenizer(config), TEXTS, 32)
    found = ours(tokens.input_ids, tokens.attention_mask)
    every = whole.bert(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    expected = every.last_hidden_state[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for output in (found, expected):
        output.square().sum().backward()
    for one, other in zip(ours.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


def test_no_other_token_passes_the_feed_forward_part_of_the_last_layer(text_encoder: Path) -> None:
    config = TextConfig(name=str(text_encoder), frozen_layers=1, max_tokens=32)
    encoder = TextEncoder(config)
    seen: list[int] = []
    for layer in encoder.bert.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[1]))
    tokens = tokenize(build_tokenizer(config), TEXTS, 32)
    encoder(tokens.input_ids, tokens.attention_mask)
    assert seen == [tokens.input_ids.shape[1], 1]
