"""Provenance of a version: commit, configurations, data, licences and imported weights."""

import random
from collections import Counter
from collections.abc import Sequence

import yaml

from radiograph.manifest import DataUse, Provenance
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.catalog import open_table, title_of
from training.data.text.synthetic_reports import report
from training.evaluation.assessment import Assessment
from training.evaluation.trained_model import PastRun, TrainedModel
from training.export.onnx_export import ExportedRun
from training.git_commit import current_commit
from training.publish.model_card import IMPORTED

LICENCE = "Apache-2.0"
IMPORTED_LICENCE = "that of the checkpoint that was imported"
SYNTHETIC = "reports are synthetic sentences made from the class labels"


def provenance_of(
    model: TrainedModel, assessment: Assessment, exported: ExportedRun, accepted: tuple[str, ...]
) -> Provenance:
    """Return the provenance of a version that is published from a run.

    Args:
        model: the run.
        assessment: its evaluation.
        exported: its export.
        accepted: descriptions of the metrics that are worse than before and accepted.
    """
    return Provenance(
        commit=current_commit(),
        configuration=configurations(model.runs),
        data=(*imported_weights(model.runs), *_data_uses(model.config)),
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


def _data_uses(config: FinetuneConfig) -> list[DataUse]:
    """Return the rows that were used of each table, by split, with their licences."""
    uses = []
    for name in config.data.tables:
        table = open_table(config.data, name)
        rows = [
            row
            for row in table.rows()
            if row.licence_class in config.data.licences and not row.reason_left_out
        ]
        synthetic = [
            row
            for row in rows
            if (text := report(row, random.Random(0))) is not None and text.synthetic
        ]
        licences = " | ".join(
            name for name, _ in Counter(row.licence for row in rows).most_common()
        )
        note = f"{len(synthetic)} of {len(rows)} {SYNTHETIC}" if synthetic else ""
        uses.append(
            DataUse(
                name=title_of(config.data, name),
                licence=licences,
                rows=dict(Counter(row.split for row in rows)),
                note=note,
            )
        )
    return uses
