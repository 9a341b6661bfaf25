"""Provenance of a version: commit, configurations, data, licences and imported weights."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from radiograph.manifest import DataUse, Provenance
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.cache.row_counts import RowCounts, TableCounts
from training.data.catalog import title_of
from training.evaluation.assessment import Assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import ExportedRun
from training.finetune.past_runs import PastRun
from training.git_commit import current_commit
from training.publish.model_card import IMPORTED

LICENCE = "Apache-2.0"
IMPORTED_LICENCE = "that of the checkpoint that was imported"
UNCOUNTED = "not recorded by the run that read it"
SYNTHETIC = "synthetic sentences made from the class labels"


def provenance_of(
    model: TrainedModel,
    assessment: Assessment,
    exported: ExportedRun,
    counts: RowCounts,
    accepted: tuple[str, ...],
) -> Provenance:
    """Return the provenance of a version that is published from a run.

    Args:
        model: the run.
        assessment: its evaluation.
        exported: its export.
        counts: radiographs that it and the runs before it read.
        accepted: descriptions of the metrics that are worse than before and accepted.
    """
    return Provenance(
        commit=current_commit(),
        configuration=configurations(model.runs),
        data=(
            *imported_weights(model.runs),
            *_data_uses(model.config, counts, assessment.measured),
            *_uncounted(model.runs, counts),
        ),
        metrics=assessment.metrics,
        accepted=accepted,
        parity=exported.parity,
    )


def configurations(runs: Sequence[PastRun]) -> dict[str, str]:
    """Return the configuration of every run as YAML: `1_pretrain.yaml`, `2_finetune.yaml`, ..."""
    return {
        f"{number}_{run.config.kind}.yaml": f"# started from commit {run.commit}\n"
        + yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False)
        for number, run in enumerate(runs, start=1)
    }


def imported_weights(runs: Sequence[PastRun]) -> tuple[DataUse, ...]:
    """Return the imported checkpoint that the first run consists of, as a line of the data."""
    first = runs[0].config
    source = first.imported if isinstance(first, PretrainConfig) else None
    if source is None:
        return ()
    note = f"{', '.join(source.from_file)} of {source.file}, sha256 {source.sha256}"
    return (DataUse(name=IMPORTED, licence="that of the file", rows={}, note=note),)


def licence_of(runs: Sequence[PastRun]) -> str:
    """Return the licence of the weights, which is ours only if no imported weights are in them."""
    return IMPORTED_LICENCE if imported_weights(runs) else LICENCE


def _data_uses(
    config: FinetuneConfig, counts: RowCounts, measured: Mapping[str, int]
) -> list[DataUse]:
    """Return the radiographs that were used of each data set, by split, with their licences.

    Args:
        config: configuration of the run.
        counts: radiographs that the run read.
        measured: number of test images by data set, where the evaluation recorded it.
    """
    uses = []
    for name, table in counts.tables.items():
        tested = {"test": measured.get(name, 0)} if measured else {}
        rows = {split: n for split, n in (table.rows | tested).items() if n}
        uses.append(
            DataUse(
                name=title_of(config.data, name),
                licence=" | ".join(table.licences),
                rows=rows,
                note=_note(table),
            )
        )
    return uses


def _uncounted(runs: Sequence[PastRun], counts: RowCounts) -> list[DataUse]:
    """Return the data sets of earlier runs that did not count their radiographs.

    What the manifest of an imported version says of them is taken over.
    """
    configs = {name: run.config for run in runs for name in run.config.data.tables}
    said = {use.name: use for run in runs for use in run.data}
    titles = [title_of(config.data, n) for n, config in configs.items() if n not in counts.tables]
    uncounted = (DataUse(name=t, licence=UNCOUNTED, rows={}, note=UNCOUNTED) for t in titles)
    return [said.get(use.name, use) for use in uncounted]


def earlier_folders(runs: Sequence[PastRun]) -> Iterator[Path]:
    """Yield the folders of the runs whose checkpoints the runs of a model started from."""
    for run in runs:
        if isinstance(run.config, FinetuneConfig):
            for checkpoint in (run.config.pretrained, run.config.start_from):
                if checkpoint is not None:
                    yield checkpoint.parent


def _note(table: TableCounts) -> str:
    """Return how many radiographs have which kind of text; nothing if all have their own."""
    if not table.synthetic_text and not table.without_text:
        return ""
    return (
        f"{table.own_text} with text of the data set, {table.synthetic_text} with {SYNTHETIC}, "
        f"{table.without_text} without text"
    )
