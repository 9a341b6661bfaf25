"""Provenance of a version: configurations, data, licences and imported weights."""

import random
from collections import Counter
from collections.abc import Sequence

import yaml

from radiograph.manifest import DataUse, Provenance
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.catalog import TITLES, open_reader
from training.data.text.synthetic_reports import report
from training.evaluation.assessment import Assessment
from training.evaluation.trained_model import PastRun, TrainedModel
from training.export.onnx_export import Exported
from training.git_commit import current_commit
from training.publish.model_card import IMPORTED

LICENCE = "Apache-2.0"


IMPORTED_LICENCE = "that of the checkpoint that was imported"


SYNTHETIC = "reports are synthetic sentences made from the class labels"


def _provenance(
    model: TrainedModel, assessment: Assessment, exported: Exported, accepted: tuple[str, ...]
) -> Provenance:
    return Provenance(
        commit=current_commit(),
        configuration=configurations(model.runs),
        data=(*imported_weights(model.runs), *_data_uses(model.config)),
        metrics=assessment.metrics,
        accepted=accepted,
        parity=exported.parity,
    )


def configurations(runs: Sequence[PastRun]) -> dict[str, str]:
    """`1_pretrain.yaml`, `2_finetune.yaml`, ...: what every run was configured as."""
    return {
        f"{number}_{run.config.kind}.yaml": f"# started from commit {run.commit}\n"
        + yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False)
        for number, run in enumerate(runs, start=1)
    }


def imported_weights(runs: Sequence[PastRun]) -> tuple[DataUse, ...]:
    """The checkpoint of somebody else that the first run is, as a line of the data."""
    first = runs[0].config
    source = first.imported if isinstance(first, PretrainConfig) else None
    if source is None:
        return ()
    note = f"{', '.join(source.from_file)} of {source.file}, sha256 {source.sha256}"
    return (DataUse(name=IMPORTED, licence="that of the file", rows={}, note=note),)


def licence_of(runs: Sequence[PastRun]) -> str:
    """Of the weights: ours to give only where no others went into them."""
    return IMPORTED_LICENCE if imported_weights(runs) else LICENCE


def _data_uses(config: FinetuneConfig) -> list[DataUse]:
    """Rows used of each table, by split, with their licences."""
    uses = []
    for name in config.data.tables:
        table = open_reader(config.data.root, name, config.data.protocol)
        rows = [
            row
            for row in table.rows()
            if row.licence_class in config.data.licences and not row.reason_left_out
        ]
        made = [
            row
            for row in rows
            if (said := report(row, random.Random(0))) is not None and said.synthetic
        ]
        licences = " | ".join(
            name for name, _ in Counter(row.licence for row in rows).most_common()
        )
        note = f"{len(made)} of {len(rows)} {SYNTHETIC}" if made else ""
        uses.append(
            DataUse(
                name=TITLES.get(name, name),
                licence=licences,
                rows=dict(Counter(row.split for row in rows)),
                note=note,
            )
        )
    return uses
