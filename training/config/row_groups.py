"""Configuration of balanced epochs: groups of rows and their shares.

`training.data.batches.row_groups` carries it out.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from radiograph.manifest import LabelName
from radiograph.strict_model import StrictModel

_TOLERANCE = 1e-6


class RowGroup(StrictModel):
    """A group of training rows: those that fit every key that is given, and no group before it."""

    share: float = Field(gt=0, le=1)
    """Share of the rows of an epoch that are drawn from the group."""
    table: str | None = None
    """Name of the data set."""
    finding: LabelName | None = None
    """A finding that is present."""
    normal: bool | None = None
    """Labelled as free of any finding, or not."""
    mask: LabelName | None = None
    """A structure or finding whose mask is known."""
    box: LabelName | None = None
    """A structure or finding that has a box."""
    boxes: bool | None = None
    """Has a box of any kind, or none."""

    @property
    def words(self) -> str:
        """The keys that define the group."""
        given = self.model_dump(exclude={"share"}, exclude_none=True)
        return ", ".join(f"{key}: {value}" for key, value in given.items()) or "of all other rows"


def _shares_make_a_whole(groups: tuple[RowGroup, ...]) -> tuple[RowGroup, ...]:
    total = sum(group.share for group in groups)
    if groups and abs(total - 1) > _TOLERANCE:
        raise ValueError(f"the shares must sum to 1, not to {total:g}")
    return groups


RowGroups = Annotated[tuple[RowGroup, ...], AfterValidator(_shares_make_a_whole)]
"""Groups whose shares sum to 1; none shows every row once in an epoch."""
