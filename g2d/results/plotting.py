"""Pictures of results, drawn with Matplotlib (extra `plot`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g2d import sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from g2d.results.result import Box, Result

# Colours that colour-blind readers can tell apart.
# Source: Okabe and Ito, Color Universal Design (2008).
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00")
_MAX_BYTES = 2**30
_SHOWN_FINDINGS = 3


def draw(result: "Result", axes: "Axes | None", image: NDArray[np.generic] | None) -> "Axes":
    """Draw masks, boxes and phrases of a result over its radiograph.

    Args:
        result: the result.
        axes: axes to draw on; new ones by default.
        image: gray image, rows x columns; the source of the result is read by default.

    Raises:
        ValueError: there is no image, or it is of another size.
        ModuleNotFoundError: Matplotlib is not installed; the message names the extra.
    """
    shown = gray(result) if image is None else image
    size = (result.image.rows, result.image.columns)
    if shown.shape != size:
        raise ValueError(f"the image is {shown.shape}, the result is of {size}")
    canvas = _new_axes() if axes is None else axes
    canvas.imshow(shown, cmap="gray")
    _draw_heatmap(result, canvas)
    _draw_masks(result, canvas)
    _draw_boxes(result, canvas)
    canvas.set_title(_title(result), fontsize="small", wrap=True)
    canvas.set_axis_off()
    return canvas


def gray(result: "Result") -> NDArray[np.uint8]:
    """Return the radiograph of a result as the model sees its grays.

    Returns:
        rows x columns, uint8, 0 is black.

    Raises:
        ValueError: the result was read from a file and knows no radiograph.
        InputError: the radiograph cannot be read.
    """
    from radiograph.preprocess import PreprocessSpec, to_input
    from radiograph.readers.read import read
    from service.decoding.decode import gray_levels

    if result.source is None:
        raise ValueError("this result was read from JSON: give its radiograph, as `image`")
    radiograph = read(sources.read(result.source, _MAX_BYTES))
    spec = PreprocessSpec.model_validate(result.preprocessing)
    return gray_levels(radiograph, to_input(radiograph, spec))


def _new_axes() -> "Axes":
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        extra = "pip install 'g2d-radiograph[plot]'"
        raise ModuleNotFoundError(f"a plot needs matplotlib: {extra}", name="matplotlib") from error
    axes: Axes = pyplot.subplots()[1]
    return axes


def _draw_heatmap(result: "Result", axes: "Axes") -> None:
    """Draw the heat map of the first phrase, stretched over the image."""
    heatmap = result.phrases[0].heatmap.array if result.phrases else None
    if heatmap is None:
        return
    rows, columns = result.image.rows, result.image.columns
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axes.imshow(
        heatmap,
        cmap="inferno",
        alpha=heatmap * 0.6,
        extent=extent,
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )


def _draw_masks(result: "Result", axes: "Axes") -> None:
    for mask, colour in zip(result.masks, _colours(len(result.masks)), strict=True):
        if mask.box is None:
            continue
        axes.contour(mask.array, levels=[0.5], colors=[colour], linewidths=1)
        x0, y0, x1, y1 = mask.box
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        _write(axes, centre, mask.name, colour, ha="center", va="center")


def _draw_boxes(result: "Result", axes: "Axes") -> None:
    named: list[tuple[str, Box]] = [
        (f"{item.name} {item.score:.0%}", item.box) for item in result.boxes
    ]
    for phrase in result.phrases:
        named += [(f"{phrase.phrase} {place.score:.0%}", place.box) for place in phrase.boxes]
    for (label, box), colour in zip(named, _colours(len(named)), strict=True):
        _draw_box(axes, box, label, colour)


def _draw_box(axes: "Axes", box: "Box", label: str, colour: str) -> None:
    from matplotlib.patches import Rectangle

    # Boxes have edges between pixels; Matplotlib has the centre of the first pixel at 0.
    x0, y0, x1, y1 = (edge - 0.5 for edge in box)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour))
    _write(axes, (x0, y0), label, colour, va="bottom")


def _write(axes: "Axes", at: tuple[float, float], text: str, colour: str, **options: Any) -> None:
    backdrop = {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1}
    # A phrase may hold a dollar sign, which Matplotlib would read as a formula.
    axes.text(*at, text, color=colour, fontsize="small", bbox=backdrop, parse_math=False, **options)


def _title(result: "Result") -> str:
    """Return the most probable findings, phrases that were not found, and the warnings."""
    best = sorted(result.findings, key=lambda item: -item.probability)[:_SHOWN_FINDINGS]
    texts = [
        f"{item.name} {item.probability:.0%} ({'present' if item.positive else 'absent'})"
        for item in best
    ]
    texts += [f"{item.phrase}: not found" for item in result.phrases if item.found is False]
    texts += [f"warning: {notice.code.replace('_', ' ')}" for notice in result.warnings]
    return ", ".join(texts).replace("$", r"\$")


def _colours(number: int) -> Sequence[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(number)]
