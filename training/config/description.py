"""Description of a data set: its findings, structures and boxes, and how its table spells them.

A description is a YAML file beside the table (`NAME.yaml` beside `NAME.csv`), the key
`data.descriptions` of a run, or a file that comes with the package for a public data set.
`training.data.tables.described` applies it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from radiograph.strict_model import StrictModel
from radiograph.terminology.codes import Code
from radiograph.terminology.label_names import LabelName

ORGANS = ("Left lung", "Right lung", "Cardiomediastinum", "Heart")
"""Structures that occur once, unless a description names others."""
NORMAL = ("normal", "Normal", "No Finding", "No finding")
"""Labels of a radiograph without a finding, unless a description names others."""
KnownFor = Literal["every_row", "labelled_rows", "listed"]
"""Rows of which a finding is known. A row that does not list the finding is known to be without it
if it is any row (`every_row`, as in a text-mined set), if it has some label (`labelled_rows`), or
only if it is labelled as normal (`listed`)."""
Spelling = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""Label, or name of a mask or box, as the table spells it."""
Spellings = Annotated[tuple[Spelling, ...], Field(max_length=1000)]
TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Name of a table, which never leads out of its folder."""


class FindingDescription(StrictModel):
    """One finding."""

    labels: Spellings | None = None
    """Labels that say that it is present; null is its own name."""
    absent: Spellings = ()
    """Labels that say that it is absent. They outweigh those that say that it is present."""
    uncertain: Literal["present", "absent", "unknown"] = "unknown"
    """Meaning of a label that the table marks as uncertain."""
    known_for: KnownFor | None = None
    """Rows of which the finding is known; null takes the key of the data set."""
    code: Code | None = None
    """Code of the finding; null takes it from `radiograph.terminology.codes`."""


class MaskDescription(StrictModel):
    """Mask of one structure or finding."""

    names: Spellings | None = None
    """Names of its masks, which are joined; null is its own name."""
    known_for: Literal["every_row", "drawn"] = "drawn"
    """Rows of which the mask is known: with `every_row`, one without a mask does not show it."""
    code: Code | None = None
    """Code of the structure; null takes it from `radiograph.terminology.codes`."""


class BoxDescription(StrictModel):
    """Boxes of one structure or finding."""

    names: Spellings | None = None
    """Names of its boxes; null is its own name."""
    instead: Spellings = ()
    """Names of the boxes that count in an image that has none of `names`."""
    known_for: Literal["every_row", "drawn"] = "drawn"
    """Rows of which all boxes are known: those with a box, or with `every_row` also the others,
    which do not show it."""
    absent_with: Spellings = ()
    """Labels of a row that, without a box, does not show it. A normal radiograph shows none of any
    kind but an organ."""
    code: Code | None = None
    """Code of the structure; null takes it from `radiograph.terminology.codes`."""


class Description(StrictModel):
    """Meaning of the labels, masks and boxes of one data set.

    Where `findings`, `masks` or `boxes` is null, each name of the table stands for itself, and for
    the coded name that differs from it in case, spaces and underscores alone. Where it is given,
    other names of the table are not used.
    """

    title: str = Field(default="", max_length=200)
    """Title of the data set, as model cards and tables show it; empty shows its name."""
    known_for: KnownFor = "listed"
    """Rows of which the findings are known."""
    normal: Spellings = NORMAL
    """Labels of a radiograph without any finding of this data set."""
    normal_shows_nothing: bool = False
    """A normal radiograph shows nothing that another data set labels either, such as a device."""
    organs: tuple[LabelName, ...] = ORGANS
    """Structures that occur once, so that the bounds of the mask are the box."""
    findings: dict[LabelName, FindingDescription] | None = None
    """Findings by their name in configurations and answers."""
    masks: dict[LabelName, MaskDescription] | None = None
    """Masks by the name of their structure or finding."""
    boxes: dict[LabelName, BoxDescription] | None = None
    """Boxes by the name of their structure or finding."""
    supplement: TableName | None = None
    """Name of a further table beside this one, joined by `image` where it is there: its boxes take
    the place of those of the row; its labels and its `extra` are added."""

    @model_validator(mode="after")
    def _codes_agree(self) -> Self:
        codes: dict[str, Code] = {}
        for section in (self.findings, self.masks, self.boxes):
            for name, entry in (section or {}).items():
                code = entry.code
                if code is not None and codes.setdefault(name, code) != code:
                    raise ValueError(f"{name} has two codes")
        return self

    @property
    def codes(self) -> dict[str, Code]:
        """Code of each name that the description gives one."""
        sections = (self.findings or {}, self.masks or {}, self.boxes or {})
        named = [(name, entry.code) for section in sections for name, entry in section.items()]
        return {name: code for name, code in named if code is not None}
