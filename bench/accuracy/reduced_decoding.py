"""Change of the answers if JPEG 2000 were decoded at a reduced resolution.

    python -m bench.accuracy.reduced_decoding --data ../shared/data --limit 20 \
        --sets nih_boxes nih_subset wingspan_ctr

Each radiograph is encoded without loss as JPEG 2000 or HTJ2K of 16 bits, as it is stored (512 px)
or enlarged to 2048 px. It is decoded as the service does, whole, and at 1/2, 1/4 or 1/8 of its
resolution, by the same OpenJPEG. A published version answers both, and a table shows by how much
the answers for the reduced picture differ, and the time of decoding as a share of that of the whole
picture, in turns. Masks of the reduced picture are enlarged to compare them.

A reduced picture has its own bounds of pixels, so that masks differ by up to a source pixel at
their edge, whatever decoded it. Reduction by the mean of blocks is therefore shown beside it: what
remains between the two is due to the filter of the wavelet.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.accuracy.published_version import parser, rows
from g2d.loading import open_version
from radiograph.image import Radiograph
from radiograph.manifest import Task
from radiograph.readers.codecs import jpeg2000
from radiograph.readers.read import read
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.settings import Settings
from training.metrics import dice

Samples = NDArray[np.uint16]
REQUEST = AnalysisRequest(tasks=(Task.CLASSIFY, Task.SEGMENT))
ENCODERS: dict[str, Callable[[Samples], bytes | bytearray]] = {
    "JPEG 2000": lambda samples: imagecodecs.jpeg2k_encode(
        samples, level=0, codecformat="j2k", reversible=True
    ),
    "HTJ2K": lambda samples: imagecodecs.htj2k_encode(samples, reversible=True),
}
CASES = ((1, 2), (4, 2), (4, 4), (4, 8))
"""Enlargement of the stored picture, and the reduction."""


@dataclass
class Differences:
    """Differences between the answers for whole and for reduced pictures."""

    dices: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    decisions: list[bool] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, whole: AnalysisResult, reduced: AnalysisResult, factor: int) -> None:
        """Compare two answers."""
        for mask, other in zip(whole.masks or (), reduced.masks or (), strict=True):
            if mask.mask.any():
                self.dices.append(dice(enlarged(other.mask, factor, mask.mask.shape), mask.mask))
        for one, two in zip(whole.findings or (), reduced.findings or (), strict=True):
            self.probabilities.append(abs(one.probability - two.probability))
            self.decisions.append(one.positive != two.positive)

    def line(self, name: str) -> str:
        """Return a line of the table."""
        figures = (
            f"{np.median(self.dices):.3f} | {min(self.dices):.3f}",
            f"{np.mean(np.array(self.dices) < 0.99):.0%}",
            f"{np.median(self.probabilities):.4f} | {max(self.probabilities):.3f}",
            f"{sum(self.decisions)} of {len(self.decisions)}",
            f"{np.median(self.times):.2f}" if self.times else "",
        )
        return f"| {name} | {' | '.join(figures)} |"


def enlarged(mask: NDArray[np.bool_], factor: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Repeat each pixel of a reduced mask, and cut what lies beyond the picture."""
    repeated = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    return repeated[: shape[0], : shape[1]]


def decode_reduced(codestream: bytes, levels: int) -> Samples:
    """Decode at 1 / 2**`levels` of the resolution: rows x columns, uint16."""
    with Image.open(BytesIO(codestream), formats=["JPEG2000"]) as image:
        image.reduce = levels  # type: ignore[assignment, method-assign]  # as Pillow documents
        return np.array(image, np.uint16)


def decode_whole(codestream: bytes) -> Samples:
    """Decode as the service does: rows x columns, uint16."""
    header = jpeg2000.header(codestream)
    return np.array(jpeg2000.decode(jpeg2000.bare(codestream), header).samples, np.uint16)


def mean_of_blocks(samples: Samples, factor: int) -> Samples:
    """Average blocks of `factor` x `factor` samples; the last ones may be partial."""
    edges = [(0, -size % factor) for size in samples.shape]
    padded = np.pad(samples.astype(np.float64), edges, mode="edge")
    rows_, columns = (size // factor for size in padded.shape)
    blocks = padded.reshape(rows_, factor, columns, factor)
    return np.array(np.rint(blocks.mean(axis=(1, 3))), np.uint16)


def stored_samples(radiograph: Radiograph, enlargement: int) -> Samples:
    """Return the pixels of a radiograph, 16 bits, enlarged."""
    image = Image.fromarray(radiograph.pixels.astype(np.float32))
    size = (image.width * enlargement, image.height * enlargement)
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return np.array(np.rint(pixels.clip(0, 65535)), np.uint16)


def png(samples: Samples) -> bytes:
    """Return samples as a file that the service reads without a change."""
    file = BytesIO()
    Image.fromarray(samples).save(file, "PNG", compress_level=1)
    return file.getvalue()


def compare(
    analysis: Analysis, samples: Samples, factors: Iterable[int], found: dict[str, Differences]
) -> None:
    """Add the differences of one picture for each encoding and reduction."""
    whole = analysis.run_here(REQUEST, png(samples))
    side = max(samples.shape)
    for factor in factors:
        averaged = analysis.run_here(REQUEST, png(mean_of_blocks(samples, factor)))
        found[f"mean of blocks | {side} | 1/{factor}"].add(whole, averaged, factor)
        for name, encode in ENCODERS.items():
            codestream = bytes(encode(samples))
            started = time.perf_counter()
            decoded = decode_whole(codestream)
            middle = time.perf_counter()
            reduced = decode_reduced(codestream, factor.bit_length() - 1)
            ended = time.perf_counter()
            if not np.array_equal(decoded, samples):
                raise SystemExit(f"{name} does not decode to what was encoded")
            differences = found[f"{name} | {side} | 1/{factor}"]
            differences.add(whole, analysis.run_here(REQUEST, png(reduced)), factor)
            differences.times.append((ended - middle) / (middle - started))


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "").parse_args()
    settings = Settings.from_environment().changed(
        models_dir=options.models_dir, default_model=options.model
    )
    version = open_version(settings, options.version)
    found: dict[str, Differences] = defaultdict(Differences)
    for name in options.sets:
        for row, reader in rows(options, name, options.split):
            radiograph = read(reader.read(row.image))
            for enlargement in sorted({enlargement for enlargement, _ in CASES}):
                factors = [factor for other, factor in CASES if other == enlargement]
                samples = stored_samples(radiograph, enlargement)
                compare(version.analysis, samples, factors, found)
    print(
        "| decoder | longest side | resolution | Dice, median | lowest | below 0.99 | "
        "probability, median difference | greatest | other decisions | time |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, differences in found.items():
        print(differences.line(name))
    version.analysis.close()


if __name__ == "__main__":
    main()
