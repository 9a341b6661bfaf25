"""Decoding as a plain handler does it: Pillow or pydicom and NumPy, without checks.

The peers share it, so that they differ in serving and not in decoding. It produces the model input
of the manifest (resize with kept aspect ratio, stretch percentiles, pad) for well-formed
MONOCHROME2 files only: no limits, no look-up tables, no hostile input.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """The fields of a model version that a peer needs.

    Attributes:
        folder: folder of the version.
        head: file of the classification head.
        labels: labels of that head.
        temperature: temperature of that head.
        size_px: side of the model input.
        mean, std: normalisation of the model input.
        low, high: percentiles that are stretched to 0 and 1.
    """

    folder: Path
    head: str
    labels: tuple[str, ...]
    temperature: float
    size_px: int
    mean: float
    std: float
    low: float
    high: float

    @classmethod
    def of(cls, folder: Path) -> "Model":
        """Read the manifest of a version."""
        manifest = json.loads((folder / "manifest.json").read_text())
        head = next(h for h in manifest["heads"].values() if h["kind"] == "classify")
        spec = manifest["preprocess"]
        return cls(
            folder,
            head["file"],
            tuple(label["name"] for label in head["labels"]),
            head["temperature"],
            spec["size_px"],
            spec["mean"],
            spec["std"],
            spec["low_percentile"],
            spec["high_percentile"],
        )

    def answer(self, probabilities: Floats) -> dict[str, list[dict[str, object]]]:
        """Return the JSON object of K probabilities."""
        pairs = zip(self.labels, probabilities.tolist(), strict=True)
        return {"findings": [{"name": name, "probability": value} for name, value in pairs]}


def tensor(data: bytes, model: Model) -> Floats:
    """Decode a JPEG, PNG or DICOM file to 1 x S x S float32, normalised."""
    image = _dicom(data) if data[128:132] == b"DICM" else Image.open(io.BytesIO(data)).convert("F")
    scale = model.size_px / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    low, high = np.percentile(small, (model.low, model.high))
    grid = np.zeros((model.size_px, model.size_px), dtype=np.float32)
    top, left = (model.size_px - height) // 2, (model.size_px - width) // 2
    stretched = np.clip((small - low) / max(float(high - low), 1e-6), 0, 1)
    grid[top : top + height, left : left + width] = stretched
    normalised = (grid - np.float32(model.mean)) / np.float32(model.std)
    return np.asarray(normalised[None], dtype=np.float32)


def _dicom(data: bytes) -> Image.Image:
    pixels = pydicom.dcmread(io.BytesIO(data)).pixel_array
    return Image.fromarray(pixels.astype(np.float32))


def sigmoid(logits: Floats, temperature: float) -> Floats:
    """Return calibrated probabilities."""
    return np.asarray(1 / (1 + np.exp(-logits / temperature)), dtype=np.float32)
