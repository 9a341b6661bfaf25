"""Text encoder: reports and phrases become one vector each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.bert.modeling_bert import BertLayer
from transformers.utils import logging as progress

from training.config.model import TextConfig
from training.model.tensor_files import UNREADABLE
from training.model.weight_sources import text_source
from training.refusal import RunRefused, WeightsRefused


@dataclass(frozen=True)
class Tokens:
    """Token ids and their mask, both P x T, int64."""

    input_ids: Tensor
    attention_mask: Tensor


@dataclass(frozen=True)
class LowerStates:
    """Output of the frozen layers for P texts.

    Attributes:
        hidden: P x T x D, anything at padding.
        attention_mask: P x T int64, 1 for tokens and 0 for padding.
    """

    hidden: Tensor
    attention_mask: Tensor


NO_TOKENS = Tokens(*(torch.zeros(0, 1, dtype=torch.long) for _ in range(2)))
"""Tokens of a batch without a text."""


def build_tokenizer(config: TextConfig) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer of the text encoder.

    Raises:
        RunRefused: it cannot be had, or is broken.
    """
    source = text_source(config)
    with _loading(config):
        return AutoTokenizer.from_pretrained(
            source, revision=config.revision or "main", trust_remote_code=False, use_fast=True
        )


@contextmanager
def _loading(config: TextConfig) -> Iterator[None]:
    """Name the key and the encoder when it cannot be loaded; show no progress of it."""
    bars: Any = progress  # its functions have no annotations
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    except (*UNREADABLE, SafetensorError) as error:
        raise WeightsRefused(
            f"model.text.name: {config.name} cannot be loaded as a BERT with a fast tokenizer"
            f" ({type(error).__name__}: {error})"
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_tokens: int,
    padding: Literal["longest", "max_tokens"] = "longest",
    multiple: int = 1,
) -> Tokens:
    """Tokenize texts, cut at `max_tokens`.

    Args:
        tokenizer: fast tokenizer.
        texts: texts, at least one.
        max_tokens: number of tokens after which a text is cut.
        padding: pad to the longest of the texts, or to `max_tokens`.
        multiple: pad further, to a multiple of this number of tokens.
    """
    encoded = tokenizer(
        list(texts),
        padding="longest" if padding == "longest" else "max_length",
        truncation=True,
        max_length=max_tokens,
        pad_to_multiple_of=multiple if multiple > 1 else None,
        return_tensors="pt",
    )
    return Tokens(encoded["input_ids"], encoded["attention_mask"])


def padded_length(longest: int, multiple: int) -> int:
    """Return the number of tokens to which texts are padded: the next multiple."""
    return -(-longest // multiple) * multiple


class TextEncoder(nn.Module):
    """A BERT with pooling, which gives one feature vector per text.

    tokens -> embeddings, frozen layers (`lower`) -> trained layers, pooling (`upper`) -> features
    """

    def __init__(self, config: TextConfig) -> None:
        """Load the encoder of a configuration and freeze its first layers.

        Raises:
            RunRefused: it cannot be had, is broken, or reads fewer tokens than configured.
        """
        super().__init__()
        self.pooling = config.pooling
        source = text_source(config)
        with _loading(config):
            self.bert = AutoModel.from_pretrained(
                source,
                revision=config.revision or "main",
                trust_remote_code=False,
                add_pooling_layer=False,
                attn_implementation="sdpa",
            )
        longest = getattr(self.bert.config, "max_position_embeddings", config.max_tokens)
        if config.max_tokens > longest:
            raise RunRefused(
                f"model.text.max_tokens: {config.max_tokens}, but {config.name} reads {longest}"
            )
        self.width = int(self.bert.config.hidden_size)
        self.frozen_layers = config.frozen_layers
        frozen = self.frozen_modules(embeddings=config.freeze_embeddings)
        for module in frozen:
            module.requires_grad_(requires_grad=False)
        self._without_dropout = [] if config.frozen_dropout else frozen

    def frozen_modules(self, *, embeddings: bool) -> list[nn.Module]:
        """Return the frozen transformer layers and, if there are any, the embeddings on request."""
        frozen = list(self.bert.encoder.layer[: self.frozen_layers])
        return [*frozen, self.bert.embeddings] if frozen and embeddings else frozen

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; frozen layers without dropout stay in evaluation mode."""
        super().train(mode)
        for module in self._without_dropout:
            module.eval()
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return phrase features, P x D, of token ids and mask, P x T."""
        return self.upper(self.lower(input_ids, attention_mask), attention_mask)

    def lower(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the output of the frozen layers, P x T x D, of token ids and mask, P x T."""
        mask = _additive(attention_mask, self.bert.dtype)
        hidden: Tensor = self.bert.embeddings(input_ids=input_ids)  # P x T x D
        for layer in self.bert.encoder.layer[: self.frozen_layers]:
            hidden = layer(hidden, mask)
        return hidden

    def upper(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return phrase features, P x D, of the output of the frozen layers.

        Args:
            hidden: P x T x D, output of `lower`.
            attention_mask: P x T, 1 for tokens and 0 for padding.
        """
        mask = _additive(attention_mask, self.bert.dtype)
        layers = list(self.bert.encoder.layer[self.frozen_layers :])
        # Sharded and compiled layers are called as a whole: their weights are not at hand here.
        first_alone = self.pooling == "cls" and layers and type(layers[-1]) is BertLayer
        last = layers.pop() if first_alone else None
        for layer in layers:
            hidden = layer(hidden, mask)
        if last is not None:
            return _first_token(last, hidden, mask)
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.sum(hidden * weight, dim=1) / weight.sum(dim=1).clamp_min(1)


def _first_token(layer: BertLayer, hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the output of a transformer layer for the first token alone, P x D.

    All tokens are keys and values, but only the first one is a query: without a layer above,
    nothing reads the others.

    Args:
        layer: layer without decoder parts.
        hidden: P x T x D, input of the layer.
        mask: P x 1 x 1 x T, added to the attention scores.
    """
    attention, first = layer.attention.self, hidden[:, :1]

    def heads(x: Tensor) -> Tensor:  # P x t x D -> P x heads x t x D / heads
        split: Tensor = x.unflatten(2, (attention.num_attention_heads, -1))
        return split.transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        heads(attention.query(first)),
        heads(attention.key(hidden)),
        heads(attention.value(hidden)),
        attn_mask=mask,
        dropout_p=attention.dropout.p if attention.training else 0.0,
        scale=attention.scaling,
    )
    attended = layer.attention.output(attended.transpose(1, 2).flatten(2), first)  # P x 1 x D
    output: Tensor = layer.feed_forward_chunk(attended)  # type: ignore[no-untyped-call]
    return output[:, 0]


def _additive(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask in the form in which it is added to the attention scores.

    transformers takes this form as it is. It would test the form P x T for padding in every step,
    and the host would wait for the device.

    Args:
        attention_mask: P x T, 1 for tokens and 0 for padding.
        dtype: dtype of the encoder.

    Returns:
        P x 1 x 1 x T, 0 for tokens and the least number of the dtype for padding.
    """
    absent = (1 - attention_mask[:, None, None, :]).to(dtype)
    return absent * torch.finfo(dtype).min
