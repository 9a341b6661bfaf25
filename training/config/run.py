"""Keys that every training run has in common, and the rows that a run reads."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from radiograph.preprocess import PreprocessSpec
from radiograph.strict_model import StrictModel
from radiograph.terminology.label_names import LabelName
from training.config.augmentation import Augmentation, AugmentConfig
from training.config.description import Description
from training.config.engine import EngineConfig, OptimiserConfig

Protocol = Literal["sound", "mgca"]
"""Split and rows of a downstream data set: `sound` puts no patient into two splits; `mgca` is the
published protocol with its faults."""


_TOLERANCE = 1e-6


class RowGroup(StrictModel):
    """A group of training rows: those that fit every key that is given, and no group before it.

    `training.data.sampling.row_groups` makes balanced epochs of groups.
    """

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


def check_address(address: str) -> str:
    """Return the address of a set of shards as it is.

    Raises:
        ValueError: it is neither a folder nor `s3://bucket/path`; the message does not quote it,
            because it may hold a password.
    """
    scheme, found, rest = address.partition("://")
    if not found:
        if not address:
            raise ValueError("the address of shards is empty")
        return address
    bucket, _, path = rest.partition("/")
    if "@" in bucket or "?" in rest:
        raise ValueError(
            "the address of shards holds no credentials and no query; the environment gives"
            " credentials and endpoint (AWS_PROFILE, AWS_ENDPOINT_URL, ...)"
        )
    if scheme != "s3" or not bucket or not path.strip("/"):
        raise ValueError("shards are in a folder or at s3://bucket/path")
    return address


class DataConfig(StrictModel):
    """Rows of the data sets that take part in a run."""

    root: Path
    """Folder that holds the data sets: `<name>.csv` with the images that it names, `<name>.tar`,
    or a public data set as it was unpacked."""
    tables: tuple[str, ...]
    """Names of the data sets (`training.data.catalog`)."""
    licences: tuple[Literal["open", "noncommercial"], ...] = ("open",)
    """Licence classes of the rows that may be used; other rows are left out."""
    share_alike: bool = Field(default=True, exclude_if=lambda value: value)
    """Use rows under licences that ask for the same licence of what is made from them."""
    protocol: Protocol = "sound"
    """Split and rows of downstream data sets; others have only one."""
    descriptions: dict[str, Description] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    """Data set -> its description, in place of the file beside its table."""

    shards: Annotated[str, AfterValidator(check_address)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Folder or `s3://bucket/path` with shards of the rows (`g2d prepare --shards`), which are
    read in place of `root`. Credentials and endpoint come from the environment; null reads the
    data sets."""
    window_shards: int | None = Field(default=None, ge=1, exclude_if=lambda value: value is None)
    """Shards whose rows are shuffled together, so that few shards are needed at a time; null
    shuffles all rows."""

    @model_validator(mode="after")
    def _a_window_has_shards(self) -> Self:
        if self.window_shards is not None and self.shards is None:
            raise ValueError("window_shards needs shards")
        return self

    @model_validator(mode="after")
    def _described_tables_are_read(self) -> Self:
        if unknown := sorted(set(self.descriptions) - set(self.tables)):
            raise ValueError(f"descriptions: no such tables: {', '.join(unknown)}")
        return self


class BaseChooseConfig(StrictModel):
    """Keys of the selection of weights that every kind of run has."""

    patience: int | None = Field(default=None, ge=1)
    """Validations without improvement after which the run ends; null runs to the last step."""
    limit: int | None = Field(default=None, ge=1)
    """Largest number of validation images, spread evenly over the split; null uses all."""


class BaseRunConfig(StrictModel):
    """Keys of a run of any kind."""

    seed: int = 0
    """Seed of every random choice of the run."""
    epochs: int = Field(ge=1)
    """Number of passes over the training rows."""
    batch_size: int = Field(ge=2)
    """Rows in one micro-batch of one process. A step sees batch_size x processes x
    engine.accumulate rows."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Floating-point precision, as Lightning names it."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    preprocess: PreprocessSpec = PreprocessSpec()
    """Preprocessing of the images; the service later applies the same."""
    data: DataConfig
    """Rows that the run reads."""
    groups: RowGroups = Field(default=(), exclude_if=lambda value: not value)
    """Groups of training rows with their shares of every epoch; a row in none is not shown. An
    epoch has as many rows as without groups."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """Optimiser and learning-rate schedule."""
    augment: Augmentation = AugmentConfig()
    """Random augmentation of the training images."""
    engine: EngineConfig = EngineConfig()
    """Devices, data loading and logging."""

    @model_validator(mode="after")
    def _a_window_is_not_sorted(self) -> Self:
        if self.data.window_shards is not None and self.engine.bucket > 1:
            raise ValueError(
                "engine.bucket sorts rows of all shards by length: without data.window_shards only"
            )
        return self

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.augment.kind == "crop" and self.augment.crop_px > self.preprocess.size_px:
            raise ValueError("augment.crop_px: a crop is not larger than preprocess.size_px")
        return self
