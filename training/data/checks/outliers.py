"""Pictures that are no chest radiographs, made on the fly.

    noise, blank, gradient, texture, leaves, page        from random numbers
    scrap, jigsaw                                         from a radiograph

"Leaves" are discs that cover each other, with edges and sizes as photographs have them.
Source: Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from training.data.checks.pictures import Pixels, write

SIDE_PX = 256
_WORDS = "the of and to in a is that for it as was with be by on not he his but at are this have"


def draw(radiograph: Pixels, rng: Generator) -> Pixels:
    """Return a picture that shows no chest.

    Args:
        radiograph: a radiograph, of which some kinds of pictures are made.
        rng: decides on the kind and the picture.
    """
    kind: Callable[[Pixels, Generator], Pixels] = KINDS[rng.choice(sorted(KINDS))]
    return kind(radiograph, rng)


def noise(_: Pixels, rng: Generator) -> Pixels:
    """Return independent pixels."""
    return rng.integers(0, 256, _shape(rng), dtype=np.uint8)


def blank(_: Pixels, rng: Generator) -> Pixels:
    """Return one gray, with a trace of noise."""
    gray = np.full(_shape(rng), rng.uniform(0, 255))
    return _bytes(gray + rng.normal(0, rng.choice((0.0, 0.5, 2.0)), gray.shape))


def gradient(_: Pixels, rng: Generator) -> Pixels:
    """Return a gray that changes along a line or around a point."""
    rows, columns = _shape(rng)
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    if rng.random() < 0.5:
        ramp = np.hypot(x - rng.random(), y - rng.random())
    if rng.random() < 0.3:
        ramp = np.sin(ramp * rng.uniform(5, 60))
    return _stretched(ramp)


def texture(_: Pixels, rng: Generator) -> Pixels:
    """Return noise whose amplitudes fall with a power of the frequency."""
    return _stretched(_power_noise(_shape(rng), rng.uniform(0.5, 2.2), rng))


def leaves(_: Pixels, rng: Generator) -> Pixels:
    """Return discs and rectangles that cover each other, with some texture and light."""
    rows, columns = _shape(rng)
    image = np.full((rows, columns), rng.uniform(0, 255))
    y, x = np.ogrid[:rows, :columns]
    for _i in range(rng.integers(20, 200)):
        radius = min(4 / max(rng.random(), 1e-3), max(rows, columns) / 3)
        dy, dx = y - rng.uniform(0, rows), (x - rng.uniform(0, columns)) * rng.uniform(0.4, 2.5)
        inside = dy**2 + dx**2 < radius**2
        if rng.random() < 0.3:
            inside = (abs(dy) < radius) & (abs(dx) < radius)
        image[inside] = rng.uniform(0, 255)
    image += rng.uniform(0, 60) * _power_noise((rows, columns), rng.uniform(0.8, 1.8), rng)
    return _bytes(image)


def page(_: Pixels, rng: Generator) -> Pixels:
    """Return lines of words, dark on light or light on dark."""
    paper, image = rng.choice((0, 255)), np.empty(_shape(rng), dtype=np.uint8)
    image[:] = paper
    words = _WORDS.split()
    for _i in range(rng.integers(8, 30)):
        write(image, " ".join(rng.choice(words, rng.integers(1, 9))), rng)
    return image


def scrap(radiograph: Pixels, rng: Generator) -> Pixels:
    """Return a part of a radiograph that is much too small to be a chest."""
    rows, columns = radiograph.shape
    height, width = (max(8, int(side * rng.uniform(0.08, 0.25))) for side in (rows, columns))
    top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
    part = Image.fromarray(radiograph[top : top + height, left : left + width])
    return np.asarray(part.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def jigsaw(radiograph: Pixels, rng: Generator) -> Pixels:
    """Return the tiles of a radiograph in another order."""
    count = int(rng.integers(3, 7))
    side = count * (SIDE_PX // count)
    scaled = Image.fromarray(radiograph).resize((side, side), Image.Resampling.BILINEAR)
    tiles = np.asarray(scaled).reshape(count, side // count, count, side // count).swapaxes(1, 2)
    shuffled = rng.permutation(tiles.reshape(count * count, *tiles.shape[2:]))
    return shuffled.reshape(tiles.shape).swapaxes(1, 2).reshape(side, side)


KINDS: dict[str, Callable[[Pixels, Generator], Pixels]] = {
    make.__name__: make for make in (noise, blank, gradient, texture, leaves, page, scrap, jigsaw)
}
"""Kinds of pictures by name."""


def _shape(rng: Generator) -> tuple[int, int]:
    return int(SIDE_PX * rng.uniform(0.6, 1)), int(SIDE_PX * rng.uniform(0.6, 1))


def _power_noise(shape: tuple[int, int], power: float, rng: Generator) -> NDArray[np.float64]:
    """Return noise of mean 0 and deviation 1 with amplitudes of frequency ** -power."""
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    frequency = np.maximum(np.hypot(y, x), 1 / max(shape))
    waves = np.fft.rfft2(rng.standard_normal(shape)) * frequency**-power
    made: NDArray[np.float64] = np.fft.irfft2(waves, shape)
    scaled: NDArray[np.float64] = (made - made.mean()) / max(float(made.std()), 1e-9)
    return scaled


def _stretched(values: NDArray[np.float64]) -> Pixels:
    low, high = float(values.min()), float(values.max())
    return _bytes((values - low) * 255 / max(high - low, 1e-9))


def _bytes(values: NDArray[np.float64]) -> Pixels:
    rounded: NDArray[np.float64] = np.rint(values.clip(0, 255))
    return rounded.astype(np.uint8)
