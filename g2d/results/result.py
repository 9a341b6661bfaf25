"""Typed results: the JSON of the service as frozen dataclasses, masks and maps as NumPy arrays.

    JSON of `Model`, of a client or of a file --Result.from_json--> Result --rows--> table
                                                                          '-plot--> picture

A result keeps the text that it was read from, so that `to_json` gives it unchanged, with members
that this version does not know. Coordinates are pixels of the source, origin top left; boxes are
(x0, y0, x1, y1), half-open. docs/api.md describes every member.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from g2d.results.pixels import mask_of, numbers_of
from g2d.sources import Source
from radiograph.errors import MalformedInput
from radiograph.terminology.codes import Code

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class ModelVersion:
    """The version that answered.

    Attributes:
        name, version: model and number.
        digest: SHA-256 of its manifest, which identifies the version.
        variant: precision of the graphs.
    """

    name: str
    version: int
    digest: str
    variant: str = "float32"


@dataclass(frozen=True)
class ImageFacts:
    """Properties of the radiograph as it was read.

    Attributes:
        rows, columns: size in pixels.
        pixel_spacing_mm: distance between rows, and between columns; None if it is unknown.
        photometric_interpretation: as in the file.
        view_position: as in the header, or None.
        sop_instance_uid: as in the header, or None.
        turned: how the pixels were turned upright for the model; results are in stored pixels.
        laterality: `asserted` by the header, `assumed` or `unknown`.
    """

    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    photometric_interpretation: str
    view_position: str | None
    sop_instance_uid: str | None
    turned: str
    laterality: str


@dataclass(frozen=True)
class OutOfDomain:
    """Distance of the radiograph from the training images.

    Attributes:
        score: the distance; a typical training image scores 1.
        threshold: a radiograph that scores higher is outside.
        outside: True if the model was not made for such an image.
    """

    score: float
    threshold: float
    outside: bool


@dataclass(frozen=True)
class Notice:
    """A warning that readers of the result need: a code for programs, a message for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Uncertainty:
    """How far a result holds in views of the radiograph that were changed in harmless ways.

    Attributes:
        method: `tta`.
        views: number of views, without the radiograph as it is.
        agreement: 1 if every view agrees. Findings and phrases: share of the views with the same
            decision. Masks: mean Dice with those of the views. Boxes: share of the views with a box
            of the same label in the same place.
        low, high: range of the probability, or of the presence of a phrase; None for others.
    """

    method: str
    views: int
    agreement: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Finding:
    """One label of a classification; `positive` if `probability` reaches `threshold`.

    A subtype, such as bacterial pneumonia, is positive only where the finding `subtype_of` is.
    """

    name: str
    code: Code | None
    probability: float
    threshold: float
    positive: bool
    uncertainty: Uncertainty | None = None
    subtype_of: str | None = None


@dataclass(frozen=True)
class RunLengths:
    """COCO run lengths of a mask, column by column, zeros first."""

    encoding: str
    size: tuple[int, int]
    counts: tuple[int, ...] | str = field(repr=False)


@dataclass(frozen=True)
class Mask:
    """Mask of one structure.

    Attributes:
        name: the label.
        code: its code, or None if it has none.
        laterality: evidence for the side in the name; None if the name states no side.
        rle: the mask as run lengths.
        area_px, area_mm2: its area; None without pixel spacing.
        box: smallest box around the mask; None if it is empty.
    """

    name: str
    code: Code | None
    laterality: str | None
    rle: RunLengths
    area_px: int
    area_mm2: float | None
    box: Box | None
    uncertainty: Uncertainty | None = None

    @functools.cached_property
    def array(self) -> NDArray[np.bool_]:
        """The mask, rows x columns of the source, bool.

        Raises:
            MalformedInput: the run lengths do not fill the mask, or are in another form.
        """
        return mask_of(self.rle)


@dataclass(frozen=True)
class Measurement:
    """One number that was measured in the masks, with its unit in UCUM (`1` for a ratio)."""

    name: str
    code: Code | None
    value: float
    unit: str
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Detection:
    """One box of one label, with its calibrated probability as `score`."""

    name: str
    code: Code | None
    laterality: str | None
    score: float
    box: Box
    uncertainty: Uncertainty | None = None


@dataclass(frozen=True)
class Heatmap:
    """A map over the whole image, coarser than its pixels.

    Attributes:
        encoding: form of `data`: PNG in base64, rows of numbers, or `none`.
        rows, columns: size of the map.
        data: the encoded map.
    """

    encoding: str
    rows: int
    columns: int
    data: str | tuple[tuple[float, ...], ...] | None = field(repr=False)

    @functools.cached_property
    def array(self) -> NDArray[np.float32] | None:
        """The map, rows x columns, float32, 0 to 1; None if it was not asked for.

        Raises:
            MalformedInput: the data are damaged or not of this size.
        """
        return numbers_of(self)


@dataclass(frozen=True)
class Place:
    """One place of a phrase; `score` is the highest value of the heat map in the box."""

    box: Box
    score: float


@dataclass(frozen=True)
class Phrase:
    """Location of a phrase in the image.

    Attributes:
        phrase: the phrase.
        laterality: evidence for the side in the phrase; None if it states no side.
        method: `aligned` or `zero_shot`.
        similarity: probability that the phrase is in the image, as the head says it.
        presence: the same, calibrated; None if the version has no threshold of presence.
        threshold: lowest `presence` that counts as found.
        found: decision; None if the version makes none.
        heatmap: where the phrase is.
        peak: (x, y) of the highest value; None if the phrase was not found.
        box: the first of `boxes`; None if there is none.
        boxes: places of the phrase, best first.
    """

    phrase: str
    laterality: str | None
    method: str
    similarity: float
    presence: float | None
    threshold: float | None
    found: bool | None
    heatmap: Heatmap
    peak: tuple[float, float] | None
    box: Box | None
    boxes: tuple[Place, ...] = ()
    uncertainty: Uncertainty | None = None


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


@dataclass(frozen=True)
class Result:
    """Everything that one version says about one radiograph.

    Two results are equal if they say the same; identifier and timings of the request, the text
    and the source do not count. The tuple of a task that was not asked for is empty.

    Attributes:
        request_id: identifies the request.
        model: the version that answered.
        preprocessing: how the pixels became the model's input.
        image: properties of the radiograph.
        out_of_domain: distance from the training images; None if the version has no statistics.
        warnings: what a reader of the result must know.
        timings_ms: milliseconds by stage.
        findings: classified labels.
        masks: segmented structures.
        measurements: numbers that were measured in the masks.
        boxes: detections, best first.
        phrases: one for each phrase, in the order of the question.
        text: the JSON that the result was read from.
        source: the radiograph, as it was handed in; None if the result was read from a file.
    """

    request_id: str = field(compare=False)
    model: ModelVersion
    preprocessing: dict[str, Any] = field(hash=False)
    image: ImageFacts
    out_of_domain: OutOfDomain | None
    warnings: tuple[Notice, ...]
    timings_ms: dict[str, float] = field(compare=False)
    findings: tuple[Finding, ...] = ()
    masks: tuple[Mask, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    boxes: tuple[Detection, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    text: str = field(default="", init=False, compare=False, repr=False)
    source: Any = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def from_json(cls, text: str | bytes, source: Source | None = None) -> "Result":
        """Read a result from its JSON.

        Args:
            text: JSON of the service, of `g2d predict` or of `to_json`.
            source: the radiograph that it is about, for `plot`.

        Raises:
            MalformedInput: the text is not an answer of the service.
        """
        from pydantic import ValidationError

        try:
            own = text if isinstance(text, str) else text.decode()
            result: Result = _reader().validate_json(own)
        except (ValidationError, UnicodeDecodeError) as error:
            raise MalformedInput("the text is not the JSON of an answer") from error
        # Not arguments of the class, so that no member of the JSON can set them.
        object.__setattr__(result, "text", own)
        object.__setattr__(result, "source", source)
        return result

    def to_json(self) -> str:
        """Return the JSON of the service that the result was read from, unchanged."""
        return self.text

    def finding(self, name: str) -> Finding:
        """Return the finding of a name.

        Raises:
            KeyError: there is none; the message names those that there are.
        """
        return _named(self.findings, name)

    def mask(self, name: str) -> Mask:
        """Return the mask of a name.

        Raises:
            KeyError: there is none; the message names those that there are.
        """
        return _named(self.masks, name)

    def measurement(self, name: str) -> Measurement:
        """Return the measurement of a name.

        Raises:
            KeyError: there is none; the message names those that there are.
        """
        return _named(self.measurements, name)

    def rows(self) -> list[dict[str, Cell]]:
        """Return one flat row for each finding, mask, measurement, box and place of a phrase.

        Every row has the same keys (`g2d.results.tables.COLUMNS`), so that
        `pandas.DataFrame(rows)` is a table of many results.
        """
        from g2d.results.tables import rows

        return rows(self)

    def plot(self, axes: "Axes | None" = None, image: NDArray[np.generic] | None = None) -> "Axes":
        """Draw the result over the radiograph with Matplotlib (extra `plot`).

        Args:
            axes: axes to draw on; new ones by default.
            image: gray image of the same size to draw on; by default, the source is read.

        Returns:
            The axes, in pixels of the source.

        Raises:
            ValueError: the result was read from a file, and no image is given.
        """
        from g2d.results.plotting import draw

        return draw(self, axes, image)


@functools.cache
def _reader() -> Any:
    """Return the reader of JSON; built once, because that takes longer than reading."""
    from pydantic import TypeAdapter

    return TypeAdapter(Result)


def _named(items: Iterable[N], name: str) -> N:
    known = {item.name: item for item in items}
    if name not in known:
        raise KeyError(f"{name!r}; there are: {', '.join(known) or 'none'}")
    return known[name]
