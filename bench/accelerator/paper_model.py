"""The paper's pre-training on random weights and synthetic pairs, so that it needs no download.

g2d_paper.yaml + random ResNet-50 and BERT-base -> configuration -> trainer, a few steps
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bench.accelerator.findings import Options
from bench.pretraining.report_texts import declared_texts
from training.config.files import load
from training.config.pretrain import PretrainConfig

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_REPORTS = 800


def precisions(options: Options) -> tuple[str, ...]:
    """Return the precisions that the trainer has on a device; 16-mixed works on CUDA only."""
    return ("32-true", "bf16-mixed", *(("16-mixed",) if options.device == "cuda" else ()))


def reports(options: Options) -> list[str]:
    """Return reports as long as those of MIMIC-CXR."""
    return declared_texts(32 if options.quick else _REPORTS)


def configure(options: Options, precision: str, *changes: str) -> PretrainConfig:
    """Return the configuration of the paper for one device, with random initial weights.

    Args:
        options: device and size of the batch.
        precision: precision, as Lightning names it.
        changes: further `key=value` changes.
    """
    text = options.work / "bert"
    if not text.is_dir():
        save_text_encoder(text, quick=options.quick)
    small = [f"preprocess.size_px={options.side}"]
    if options.quick:
        small += ["model.encoder.name=resnet18", "model.text.frozen_layers=1"]
        small += ["model.encoder.decoder_channels=[16, 16, 8, 8, 8]"]
    return load(
        "g2d_paper",
        PretrainConfig,
        [
            f"precision={precision}",
            f"batch_size={options.batch}",
            f"data.root={options.work}",
            "data.tables=[]",
            "model.encoder.weights=null",
            f"model.text.name={text}",
            f"engine.accelerator={options.accelerator}",
            "engine.devices=1",
            "engine.loggers=[]",
            "engine.picture_every=0",
            *small,
            *changes,
        ],
    )


def save_text_encoder(folder: Path, *, quick: bool, dropout: float = 0.1) -> None:
    """Save a BERT with random weights: BERT-base, or two narrow layers.

    The tokens are the words of the synthetic reports, lower-cased.

    Args:
        folder: folder to create.
        quick: True for two narrow layers.
        dropout: probability of dropout in every layer.
    """
    words = sorted({word for text in declared_texts(_REPORTS) for word in _words(text)})
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *words])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of the vocabulary
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {f"{token[1:-1].lower()}_token": token for token in _SPECIAL}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)  # type: ignore[no-untyped-call]
    # The default vocabulary is that of BERT, so that the embeddings have the real size. Devices
    # draw dropout from different streams: without it their losses can be compared.
    config = BertConfig(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    if quick:
        config.hidden_size, config.num_hidden_layers, config.num_attention_heads = 32, 2, 2
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def _words(text: str) -> list[str]:
    normalised = normalizers.BertNormalizer().normalize_str(text)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalised)]


@contextmanager
def no_waiting(options: Options) -> Iterator[None]:
    """Raise RuntimeError inside if the host waits for the device; the CPU never does."""
    if options.device == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
