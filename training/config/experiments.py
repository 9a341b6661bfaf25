"""What `tables.yaml` may say: recipes, tasks, arms of the ablations, and the tables.

No figure of a recipe stands in code. A recipe is written in the keys of `FinetuneConfig`, so
that nothing has to be learned twice; whether they are valid is known when cells are planned.
"""

from collections.abc import Collection
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from radiograph.strict_model import StrictModel
from training.config.finetune import Fraction

Kind = Literal["classify", "segment", "detect", "zero_shot", "ground"]
BUILT_IN = ("random", "imagenet", "encoder", "encoder_decoder", "pretrained")
"""What a row may start from beside an arm. `pretrained` is with the decoder where there is use
for it; `encoder_decoder` has nothing to say where there is none."""
Keys = dict[str, Any]


class Look(StrictModel):
    """`ChooseConfig`, in epochs: how many steps make one is known when the rows are."""

    by: Literal["loss", "auroc", "dice", "ap50"]
    epochs: float = Field(default=1.0, gt=0)
    """Between two looks at the validation split."""
    patience: int | None = Field(default=None, ge=1)
    """Looks without a better one after which the run ends."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many validation images."""


class Recipe(StrictModel):
    """How a model is fine-tuned."""

    run: Keys
    """Of `FinetuneConfig`, without data, labels and start. `batch_size` is that of a step, however
    many processes share it."""
    at: dict[Fraction, Keys] = Field(default_factory=dict)
    """What differs at a fraction of the labels."""
    look: Look | None = None
    """null keeps the last weights."""


class Task(StrictModel):
    """A data set and what is asked of it."""

    data: str
    """Name of its reader."""
    title: str
    """Of the data set."""
    kind: Kind
    labels: tuple[str, ...] = ()
    """Of the head; of `ground` the phrases whose figures are asked for."""
    recipe: str | None = None
    """null where nothing is trained, which `ground` may be: the map of the pre-training."""
    run: Keys = Field(default_factory=dict)
    """What differs from the recipe."""

    @property
    def trains(self) -> bool:
        """Whether there is anything to fine-tune."""
        return self.recipe is not None

    @model_validator(mode="after")
    def _recipe_where_trained(self) -> Self:
        may, must = self.kind != "zero_shot", self.kind not in ("zero_shot", "ground")
        if (self.trains and not may) or (must and not (self.trains and self.labels)):
            raise ValueError("training needs a recipe and labels; zero-shot has no recipe")
        return self


class PretrainingArm(StrictModel):
    """A pre-training that differs from the paper's."""

    set: tuple[str, ...] = Field(min_length=1)
    """`key=value`, as `g2d pretrain --set` takes them."""


class TableRow(StrictModel):
    """One line of a table."""

    title: str
    of: str | None = None
    """Where its cells start from: one of `BUILT_IN`, or an arm; null is known from the paper."""
    group: str = ""
    """Of the rows that are compared with each other."""


class Column(StrictModel):
    """What a table measures."""

    task: str
    metric: str
    title: str
    """Of the metric."""
    label: str | None = None
    """Whose figure; null is that of the task's labels together, or their mean."""

    @property
    def key(self) -> str:
        """By which a result keeps the figure."""
        return self.metric if self.label is None else f"{self.metric} of {self.label}"


class Table(StrictModel):
    """One table of the paper."""

    title: str
    fractions: tuple[Fraction, ...] = ()
    """Of the labels; none where nothing is trained."""
    rows: dict[str, TableRow]
    columns: dict[str, Column]


class TablesConfig(StrictModel):
    """Every table."""

    kind: Literal["tables"]
    pretraining: str
    """Configuration that says what the model is where no checkpoint does, and that arms change."""
    pretrains: bool = False
    """Whether that configuration is run where a row needs a checkpoint and none is named."""
    shared: Keys
    """Keys of every fine-tuning."""
    recipes: dict[str, Recipe]
    tasks: dict[str, Task]
    arms: dict[str, PretrainingArm] = Field(default_factory=dict)
    tables: dict[str, Table]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        asked: list[tuple[str | None, Collection[str], str]]
        asked = [(task.recipe, self.recipes, "recipe") for task in self.tasks.values()]
        starts = {*BUILT_IN, *self.arms}
        for table in self.tables.values():
            asked += [(row.of, starts, "start") for row in table.rows.values()]
            asked += [(column.task, self.tasks, "task") for column in table.columns.values()]
        for name, known, what in asked:
            if name is not None and name not in known:
                raise ValueError(f"no {what} is called {name}")
        return self

    @model_validator(mode="after")
    def _arms_have_names_of_their_own(self) -> Self:
        if taken := set(self.arms) & set(BUILT_IN):
            raise ValueError(f"an arm cannot be called {min(taken)}")
        return self
