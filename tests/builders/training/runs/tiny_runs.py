"""Miniature tables, encoders and configurations of runs, built on the spot."""

import csv
import io
import json
import string
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from radiograph.preprocess import PreprocessSpec
from training.config.finetune import FinetuneConfig
from training.config.model import EncoderConfig, ModelConfig, TextConfig
from training.config.run import DataConfig

COLUMNS = (
    "image", "patient_id", "split", "text", "labels", "view", "sex", "age", "width", "height",
    "lung_mask", "class_masks", "boxes", "licence", "licence_class", "extra",
)  # fmt: skip
SIZE_PX = 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def save_text_encoder(folder: Path) -> Path:
    """Save a BERT of two layers with a WordPiece tokenizer of single letters."""
    letters = [*string.ascii_lowercase, *(f"##{x}" for x in string.ascii_lowercase)]
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {f"{x[1:-1].lower()}_token": x for x in SPECIAL}
    fast: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    fast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def model_config(text: Path, frozen_layers: int = 1) -> ModelConfig:
    """Return a ResNet-18 without weights, a narrow decoder and the text encoder at `text`."""
    return ModelConfig(
        encoder=EncoderConfig(name="resnet18", weights=None, decoder_channels=(16, 16, 16, 8, 8)),
        text=TextConfig(name=str(text), pooling="mean", frozen_layers=frozen_layers, max_tokens=32),
        projection_dim=16,
        attention_heads=3,
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels as a grayscale PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def lungs_png() -> bytes:
    """Return a mask of both lungs; the patient's right lung, the larger one, is on the left."""
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    mask[8:56, 6:28] = 255
    mask[8:48, 38:56] = 255
    return png(mask)


def heart_png() -> bytes:
    """Return a mask between and over the lungs."""
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    mask[28:52, 24:44] = 255
    return png(mask)


def picture(seed: int) -> bytes:
    """Return a noisy ramp as a PNG."""
    ramp = np.linspace(40, 180, SIZE_PX)[None, :].repeat(SIZE_PX, axis=0)
    noise = np.random.default_rng(seed).uniform(0, 40, ramp.shape)
    return png((ramp + noise).astype(np.uint8))


def record(image: str, **changes: Any) -> dict[str, str]:
    """Return one line of a table; values that are not text become JSON."""
    usual = dict.fromkeys(COLUMNS, "") | {
        "image": image,
        "patient_id": image,
        "split": "train",
        "view": "PA",
        "licence": "CC0-1.0",
        "licence_class": "open",
    }
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in changes.items()}
    return usual | texts


def write_table(
    root: Path, name: str, records: Sequence[dict[str, str]], files: dict[str, bytes], *, tar: bool
) -> None:
    """Write `<root>/<name>.csv`, with its files in a folder or in `<root>/<name>.tar`."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(records)
    if not tar:
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return
    with tarfile.open(root / f"{name}.tar", "w") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_reports(root: Path, count: int) -> DataConfig:
    """Write radiographs whose reports differ in words and length."""
    name = "kermany_224"
    files = {f"{name}/{i}.png": picture(i) for i in range(count)}
    records = [
        record(image, text="clear " * (i % 4) + f"finding {chr(97 + i)}", labels="normal")
        for i, image in enumerate(files)
    ]
    write_table(root, name, records, files, tar=False)
    return DataConfig(root=root, tables=(name,))


def write_kermany(root: Path, count: int = 8, *, heart: bool = False) -> DataConfig:
    """Write radiographs with lung masks; half are normal, and one has the box of an opacity.

    With `heart`, each has a mask of the cardiomediastinum too.
    """
    name = "kermany_224"
    files = {f"{name}/{i}.png": picture(i) for i in range(count)} | {
        f"{name}/lungs.png": lungs_png(),
        f"{name}/heart.png": heart_png(),
    }
    records = [
        record(
            f"{name}/{i}.png",
            labels="normal" if i % 2 else "pneumonia|bacterial",
            lung_mask=f"{name}/lungs.png",
            class_masks={"Cardiomediastinum": f"{name}/heart.png"} if heart else {},
            boxes=[{"label": "Pneumonia", "xyxy": [10, 12, 24, 30]}] if i == 0 else [],
        )
        for i in range(count)
    ]
    write_table(root, name, records, files, tar=False)
    return DataConfig(root=root, tables=(name,))


def finetune_config(root: Path, model: ModelConfig) -> FinetuneConfig:
    """Return a fine-tuning of two steps that has every head."""
    return FinetuneConfig(
        kind="finetune",
        epochs=1,
        batch_size=4,
        checkpoint_every=1,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=write_kermany(root),
        model=model,
        findings=("Pneumonia", "Viral pneumonia"),
        masks=("Left lung", "Right lung"),
        boxes=("Left lung", "Lung opacity"),
        phrases_per_batch=6,
    )
