"""Configuration of experiment tables: recipes, tasks, pre-training arms, rows and columns.

The code holds no number of a recipe. A fine-tuning recipe is written in the keys of
`FinetuneConfig`; these are validated when the cells of a table are planned.
"""

from collections.abc import Collection
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from radiograph.strict_model import StrictModel
from training.config.finetune import Fraction

Kind = Literal["classify", "segment", "detect", "zero_shot", "ground"]
DecoderStart = Literal["", "new", "transferred"]
BUILT_IN = ("random", "imagenet", "encoder", "encoder_decoder", "pretrained")
"""Starts of a row that are not arms. `pretrained` includes the decoder for the tasks that use one;
`encoder_decoder` has no figure for the tasks that do not."""
PROBE_METRICS = {"classify": "auroc", "segment": "dice"}
"""Kind of a task that can be probed -> the metric that its probe measures."""
Keys = dict[str, Any]


class ValidationSchedule(StrictModel):
    """A `ChooseConfig` in epochs: the steps of an epoch are known once the rows are."""

    by: Literal["loss", "auroc", "dice", "ap50"]
    epochs: float = Field(default=1.0, gt=0)
    """Epochs between two validations."""
    patience: int | None = Field(default=None, ge=1)
    """Number of validations without an improvement after which the run ends."""
    limit: int | None = Field(default=None, ge=1)
    """Largest number of validation images."""


class ProbeConfig(StrictModel):
    """Training of a head on the features of a frozen encoder: AdamW at a constant rate."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    choose_every: int = Field(ge=1)
    """Steps between two validations; the weights of the best one are kept."""
    choose_on: int | None = Field(default=None, ge=1)
    """Largest number of validation images, evenly spread; null uses all of them."""


class Recipe(StrictModel):
    """Training of a task: a fine-tuning, or a probe of the frozen encoder."""

    run: Keys | None = None
    """Keys of `FinetuneConfig` without data, labels and start; null for a probe. `batch_size` is
    that of a step, which all processes share."""
    at: dict[Fraction, Keys] = Field(default_factory=dict)
    """Keys that differ at a fraction of the labels."""
    mgca: Keys = Field(default_factory=dict)
    """Keys that differ under `protocol: mgca`."""
    look: ValidationSchedule | None = None
    """null keeps the weights of the last step."""
    probe: ProbeConfig | None = None
    """null for a fine-tuning."""

    @model_validator(mode="after")
    def _is_a_fine_tuning_or_a_probe(self) -> Self:
        if (self.run is None) is (self.probe is None):
            raise ValueError("a recipe needs either run or probe")
        if self.probe is not None and (self.at or self.look or self.mgca):
            raise ValueError("at, look and mgca belong to a fine-tuning, not to a probe")
        return self


class Task(StrictModel):
    """A data set and the answer that is measured on it."""

    data: str
    """Name of the data set's reader. A probe reads a table of the pre-training."""
    title: str
    """Title of the data set in headings."""
    kind: Kind
    labels: tuple[str, ...] = ()
    """Labels of the head; of a `ground` task the phrases whose figures are reported."""
    recipe: str | None = None
    """null where nothing is trained. A `ground` task may have none: the pre-training answers it."""
    run: Keys = Field(default_factory=dict)
    """Keys that differ from the recipe."""

    @property
    def trains(self) -> bool:
        """True if the task has a recipe."""
        return self.recipe is not None

    @model_validator(mode="after")
    def _has_a_recipe_where_it_trains(self) -> Self:
        may, must = self.kind != "zero_shot", self.kind not in ("zero_shot", "ground")
        if (self.trains and not may) or (must and not (self.trains and self.labels)):
            raise ValueError("training needs a recipe and labels; zero-shot has no recipe")
        return self


class PretrainingArm(StrictModel):
    """A pre-training that differs from the shared one."""

    set: tuple[str, ...] = Field(min_length=1)
    """`key=value` changes, as `g2d pretrain --set` takes them."""


class TableRow(StrictModel):
    """One line of a table."""

    title: str
    of: str | None = None
    """Start of the row's cells: one of `BUILT_IN`, or an arm; null for a row that only the paper
    has."""
    group: str = ""
    """Heading of the rows that are compared with each other."""
    decoder: DecoderStart = ""
    """Start of the decoder: `new`, or `transferred` from the pre-training; a transferred decoder
    has no figure for the tasks that use none. Empty transfers one wherever one was trained."""


class Column(StrictModel):
    """One figure of a task."""

    task: str
    metric: str
    title: str
    """Title of the metric."""
    label: str | None = None
    """Label of the figure; null is the figure of all labels of the task together, or their mean."""

    @property
    def key(self) -> str:
        """Name of the figure in a result."""
        return self.metric if self.label is None else f"{self.metric} of {self.label}"


class Table(StrictModel):
    """Rows, columns and repetitions of one table."""

    title: str
    fractions: tuple[Fraction, ...] = ()
    """Fractions of the labels; empty where nothing is trained."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds that are computed where the user names none."""
    rows: dict[str, TableRow]
    columns: dict[str, Column]
    pairs: tuple[tuple[str, str], ...] = ()
    """Rows whose difference is reported, first minus second, paired by seed."""


class TablesConfig(StrictModel):
    """All tables of one configuration file."""

    kind: Literal["tables"]
    pretraining: str
    """Configuration of the pre-training that arms change. It describes the model where no
    checkpoint is given."""
    pretrains: bool = False
    """Run that pre-training where a row needs a checkpoint and the user names none."""
    pretrains_each_seed: bool = False
    """Pre-train each arm once for every seed; the seed is then that of pre-training as well."""
    shared: Keys = Field(default_factory=dict)
    """Keys of every fine-tuning."""
    recipes: dict[str, Recipe]
    tasks: dict[str, Task]
    arms: dict[str, PretrainingArm] = Field(default_factory=dict)
    tables: dict[str, Table]

    def probe(self, task: str) -> ProbeConfig | None:
        """Return the probe of a task, or None if the task is fine-tuned or not trained."""
        recipe = self.tasks[task].recipe
        return None if recipe is None else self.recipes[recipe].probe

    @model_validator(mode="after")
    def _refers_to_known_names(self) -> Self:
        references: list[tuple[str | None, Collection[str], str]]
        references = [(task.recipe, self.recipes, "recipe") for task in self.tasks.values()]
        starts = {*BUILT_IN, *self.arms}
        for table in self.tables.values():
            references += [(row.of, starts, "start") for row in table.rows.values()]
            references += [(column.task, self.tasks, "task") for column in table.columns.values()]
            references += [(row, table.rows, "row") for pair in table.pairs for row in pair]
        for name, known, what in references:
            if name is not None and name not in known:
                raise ValueError(f"no {what} is called {name}")
        return self

    @model_validator(mode="after")
    def _gives_arms_names_of_their_own(self) -> Self:
        if taken := set(self.arms) & set(BUILT_IN):
            raise ValueError(f"an arm cannot be called {min(taken)}")
        return self

    @model_validator(mode="after")
    def _probes_what_a_probe_can_measure(self) -> Self:
        for name, task in self.tasks.items():
            if self.probe(name) is None:
                continue
            if task.kind not in PROBE_METRICS or task.run:
                raise ValueError(f"{name}: a probe classifies or segments, and takes no run keys")
            if task.kind == "classify" and len(task.labels) != 1:
                raise ValueError(f"{name}: a linear probe has one label")
        for table in self.tables.values():
            for key, column in table.columns.items():
                metric = PROBE_METRICS.get(self.tasks[column.task].kind)
                if self.probe(column.task) and (column.metric, column.label) != (metric, None):
                    raise ValueError(f"{key}: the probe measures {metric} without a label")
        return self
