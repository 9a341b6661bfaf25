"""Publish a run: its exported files, what was measured, and a model card become a version.

    run/ -> assess (calibrate, measure) -> assessment.json, statistics.npz
         -> export (parity)             -> export/
    both note the digest of the model that they are of
         -> gates -> radiograph.repository.publish -> models/<name>/<n>/

Gates: evaluation and export are of the run as it is now, no label is in two heads of a kind,
every ONNX output equals PyTorch within 1e-4 (as `export.difference` reads it), the
golden outputs come out again, and no metric is below the interval that the version in
`stable` has for it.
"""

import datetime
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from radiograph.errors import ModelNotFound, PublishRefused
from radiograph.head_publishing import refuse_repeated_labels
from radiograph.manifest import (
    DataUse,
    GoldenSpec,
    HeadSpec,
    Metric,
    ModelManifest,
    OutOfDomainSpec,
    Provenance,
    Task,
    TextSpec,
    TrunkSpec,
)
from radiograph.repository import Repository, digest_files
from training.calibrate import YOUDEN, ThresholdRule, calibrate, statistics
from training.commit import current_commit
from training.config import FinetuneConfig, PretrainConfig
from training.data.readers import open_reader
from training.data.sentences import report
from training.data.tables import TABLE_NAMES
from training.evaluate import evaluate
from training.export import Exported
from training.gates import GOLDEN_TOLERANCE, refuse_other_golden, refuse_worse, with_heads
from training.inference import PastRun, TrainedModel, to_device_of_run
from training.model_card import IMPORTED, model_card
from training.seen import Seen, see

GIVES = {
    Task.CLASSIFY: "labels",
    Task.SEGMENT: "masks",
    Task.DETECT: "boxes",
    Task.GROUND: "phrase grounding",
}
LICENCE = "Apache-2.0"
IMPORTED_LICENCE = "that of the checkpoint that was imported"
SYNTHETIC = "reports are synthetic sentences made from the class labels"


class Assessment(BaseModel):
    """What was chosen on the validation split and measured on the test split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: dict[str, HeadSpec]
    metrics: tuple[Metric, ...]
    out_of_domain_threshold: float
    out_of_domain_rule: str
    weights: str = ""
    """Digest of the model that was evaluated; empty where that was not noted."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it made."""

    path: Path

    @property
    def assessment(self) -> Path:
        """Calibration and metrics."""
        return self.path / "assessment.json"

    @property
    def statistics(self) -> Path:
        """Mean and precision of the global features."""
        return self.path / "statistics.npz"

    @property
    def export(self) -> Path:
        """The exported graphs."""
        return self.path / "export"


def assess(model: TrainedModel, run: RunFolder, rule: ThresholdRule = YOUDEN) -> Assessment:
    """Calibrate on validation, measure on test, and write both into the run.

    Test rows of every licence class are measured on; nothing is trained or chosen on them.

    Args:
        model: the run; it computes where the run did.
        run: its folder.
        rule: of the findings' thresholds.
    """
    licences = to_device_of_run(model).config.data.licences
    valid: list[Seen] = []
    specs = calibrate(model, _noted(see(model, "valid", licences), valid), rule)
    usual = statistics([one.thin for one in see(model, "train", licences, limit=250)], valid)
    test = see(model, "test", ("open", "noncommercial"))
    done = Assessment(
        heads=specs,
        metrics=evaluate(model, specs, test),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    np.savez_compressed(run.statistics, mean=usual.mean, precision=usual.precision)
    run.assessment.write_text(done.model_dump_json(indent=2))
    return done


def _noted(images: Iterable[Seen], notes: list[Seen]) -> Iterator[Seen]:
    """The images as they come; what statistics need of each is noted."""
    for one in images:
        notes.append(one.thin)
        yield one


def measure(model: TrainedModel, split: str, rule: ThresholdRule = YOUDEN) -> tuple[Metric, ...]:
    """Metrics on a split to choose by, calibrated on validation; nothing is written.

    Raises:
        ValueError: the split is `test`, which `assess` measures once.
    """
    if split not in {"train", "valid"}:
        raise ValueError(f"a split to choose by is train or valid, not {split!r}")
    to_device_of_run(model)
    specs = calibrate(model, see(model, "valid", model.config.data.licences), rule)
    return evaluate(model, specs, see(model, split, ("open", "noncommercial")), split)


def read_assessment(run: RunFolder) -> Assessment:
    """What `assess` wrote.

    Raises:
        PublishRefused: the run was not evaluated.
    """
    if not run.assessment.is_file():
        raise PublishRefused(f"{run.path} was not evaluated: g2d evaluate {run.path}")
    return Assessment.model_validate_json(run.assessment.read_text())


def publish(
    model: TrainedModel,
    run: RunFolder,
    exported: Exported,
    models: Path,
    name: str,
    alias: str,
    accept: Sequence[str] = (),
) -> int:
    """Check the gates and publish; gives the number of the new version.

    Args:
        model: the run.
        run: its folder, evaluated.
        exported: its graphs, within the tolerance.
        models: the repository's root.
        name: of the model.
        alias: that the new version gets; empty for none.
        accept: metrics, such as `pointing (zero_shot)`, that may be worse than in `stable`;
            those that are stand in the manifest and the card.

    Raises:
        PublishRefused: a gate failed; nothing was published.
    """
    assessment = read_assessment(run)
    refuse_of_other_weights(model, run, assessment, exported)
    refuse_repeated_labels(assessment.heads)
    repository = Repository(models)
    metrics = with_heads(assessment.metrics, assessment.heads)
    accepted = refuse_worse(metrics, _metrics_in_stable(repository, name), accept)
    refuse_other_golden(exported.folder)
    stage = run.path / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(exported.folder, stage)
    (stage / "export.json").unlink(missing_ok=True)
    shutil.copy(run.statistics, stage / "statistics.npz")
    provenance = _provenance(model, assessment, exported, accepted)
    licence = licence_of(model.runs)
    card = model_card(name, intended_use(assessment.heads), licence, assessment.heads, provenance)
    (stage / "MODEL_CARD.md").write_text(card)

    def build(number: int) -> ModelManifest:
        return _manifest(model, assessment, exported, provenance, stage, (name, number))

    number = repository.publish(name, stage, build, alias or None)
    shutil.rmtree(stage)
    return number


def intended_use(heads: Mapping[str, HeadSpec]) -> str:
    """What a version with these heads is for."""
    kinds = {head.kind for head in heads.values()}
    *most, last = [word for task, word in GIVES.items() if task in kinds]
    what = f"{', '.join(most)} and {last}" if most else last
    return (
        f"Research on frontal chest radiographs: {what}. Not a medical device; not for diagnosis."
    )


def refuse_of_other_weights(
    model: TrainedModel, run: RunFolder, assessment: Assessment, exported: Exported
) -> None:
    """Refuse what was evaluated or exported of another run, or before this one was trained on.

    Raises:
        PublishRefused: naming what to do again.
    """
    made = {"evaluate": assessment.weights, "export": exported.weights}
    for command, weights in made.items():
        if weights != model.digest:
            raise PublishRefused(
                f"{run.path} has other weights now than those of its last `g2d {command}`: "
                f"g2d {command} {run.path}"
            )


def _metrics_in_stable(repository: Repository, name: str) -> tuple[Metric, ...]:
    try:
        number = repository.resolve(name, "stable")
    except ModelNotFound:
        return ()
    manifest = repository.load_manifest(name, number)
    return with_heads(manifest.provenance.metrics, manifest.heads)


def _manifest(
    model: TrainedModel,
    assessment: Assessment,
    exported: Exported,
    provenance: Provenance,
    stage: Path,
    identity: tuple[str, int],
) -> ModelManifest:
    name, number = identity
    most = model.module.model.text.max_tokens
    text = TextSpec(file="text.onnx", tokenizer="tokenizer.json", max_tokens=most)
    return ModelManifest(
        name=name,
        version=number,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        intended_use=intended_use(assessment.heads),
        licence=licence_of(model.runs),
        preprocess=model.config.preprocess,
        trunk=TrunkSpec(file="trunk.onnx", outputs=exported.trunk_outputs),
        text=text if model.reads_text else None,
        heads=assessment.heads,
        out_of_domain=OutOfDomainSpec(
            file="statistics.npz",
            threshold=assessment.out_of_domain_threshold,
            threshold_rule=assessment.out_of_domain_rule,
        ),
        golden=GoldenSpec(file="golden.npz", tolerance=GOLDEN_TOLERANCE),
        files=digest_files(stage),
        provenance=provenance,
    )


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
                name=TABLE_NAMES.get(name, name),
                licence=licences,
                rows=dict(Counter(row.split for row in rows)),
                note=note,
            )
        )
    return uses


def write_parity(exported: Exported) -> None:
    """Write `export.json` beside the graphs."""
    described = {
        "parity": exported.parity,
        "raw": exported.raw,
        "trunk_outputs": exported.trunk_outputs,
        "head_inputs": exported.head_inputs,
        "weights": exported.weights,
    }
    (exported.folder / "export.json").write_text(json.dumps(described, indent=2))


def read_export(run: RunFolder) -> Exported:
    """What `g2d export` wrote.

    Raises:
        PublishRefused: the run was not exported.
    """
    path = run.export / "export.json"
    if not path.is_file():
        raise PublishRefused(f"{run.path} was not exported: g2d export {run.path}")
    described = json.loads(path.read_text())
    return Exported(
        run.export,
        described["parity"],
        described["raw"],
        tuple(described["trunk_outputs"]),
        {name: tuple(inputs) for name, inputs in described["head_inputs"].items()},
        described.get("weights", ""),
    )
