"""Publication of a run as a version: export, metrics and a model card, checked by the gates.

    run/ -> g2d evaluate -> assessment.json, statistics.npz
         -> g2d export   -> export/
         -> gates -> radiograph.repository.repository.publish -> models/<name>/<n>/

The gates: evaluation and export are of the weights that the run has now; every head has a figure;
no label is in two heads of a kind; every ONNX output equals PyTorch's within 1e-4 (see
`training.export.parity`); the golden outputs are
reproduced, by each variant too; and no metric is below the interval of
the version in `stable`.
"""

import datetime
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from radiograph.errors import ModelNotFound, PublishRefused
from radiograph.golden_answers import ANSWERS_NAME
from radiograph.manifest import (
    CHECK,
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
from radiograph.repository.head_publishing import refuse_repeated_labels
from radiograph.repository.opening import open_current
from radiograph.repository.repository import Repository, digest_files
from training.data.cache.row_counts import RowCounts, with_earlier
from training.evaluation.assessment import Assessment, RunFolder, read_assessment, read_counts
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import ExportedRun
from training.publish.gates import (
    GOLDEN_TOLERANCE,
    refuse_damaged_statistics,
    refuse_other_golden,
    refuse_stale,
    refuse_without_figures,
    refuse_worse,
    with_heads,
)
from training.publish.golden_recording import record_answers
from training.publish.model_card import model_card
from training.publish.provenance import earlier_folders, licence_of, provenance_of

ANSWERS = {
    Task.CLASSIFY: "labels",
    Task.SEGMENT: "masks",
    Task.DETECT: "boxes",
    Task.GROUND: "phrase grounding",
}
"""Answers to each task, in the words of the intended use."""


def publish(
    model: TrainedModel,
    run: RunFolder,
    exported: ExportedRun,
    models: Path,
    name: str,
    alias: str,
    accept: Sequence[str] = (),
) -> int:
    """Check the gates and publish the run.

    Args:
        model: the run.
        run: its folder, evaluated.
        exported: its export, within the tolerance.
        models: root of the repository.
        name: name of the model.
        alias: alias that the new version gets; empty for none.
        accept: metrics, such as `pointing (zero_shot)`, that may be worse than in `stable`.
            Manifest and card name those that are.

    Returns:
        The number of the new version.

    Raises:
        PublishRefused: a gate refused the run; nothing was published.
    """
    assessment = read_assessment(run)
    refuse_stale(model, run, assessment, exported)
    refuse_repeated_labels(assessment.heads)
    if all(head.kind == CHECK for head in assessment.heads.values()):
        raise PublishRefused("the run answers no task: add its checks to a version with --head")
    repository = open_current(models)
    metrics = with_heads(assessment.metrics, assessment.heads)
    refuse_without_figures(assessment.heads, metrics)
    accepted = refuse_worse(metrics, _metrics_in_stable(repository, name), accept)
    refuse_other_golden(exported)
    refuse_damaged_statistics(run)
    counts = _counts(model, run)
    provenance = provenance_of(model, assessment, exported, counts, accepted)
    stage = _stage(run, exported)
    licence = licence_of(model.runs)
    use = intended_use(assessment.heads)
    card = model_card(name, use, licence, assessment.heads, provenance, exported.variants)
    (stage / "MODEL_CARD.md").write_text(card)
    record_answers(stage, assessment.heads, model.config.preprocess)

    def build(number: int) -> ModelManifest:
        return _manifest(model, assessment, exported, provenance, stage, (name, number))

    number = repository.publish(name, stage, build, alias or None)
    shutil.rmtree(stage)
    return number


def _counts(model: TrainedModel, run: RunFolder) -> RowCounts:
    """Return the radiographs that a run and those before it read.

    An imported version that was not trained further read none: its data are those that the
    manifest of the version names.
    """
    if model.runs[-1].data and not run.rows.is_file():
        return RowCounts(tables={}, left_out={})
    return with_earlier(read_counts(run), earlier_folders(model.runs))


def intended_use(heads: Mapping[str, HeadSpec]) -> str:
    """Return the intended use of a version with these heads, in words."""
    kinds = {head.kind for head in heads.values()}
    *most, last = [words for task, words in ANSWERS.items() if task in kinds]
    answers = f"{', '.join(most)} and {last}" if most else last
    return (
        f"Research on frontal chest radiographs: {answers}. "
        "Not a medical device; not for diagnosis."
    )


def _metrics_in_stable(repository: Repository, name: str) -> tuple[Metric, ...]:
    """Return the metrics of the version in `stable`; none if there is no such version."""
    try:
        number = repository.resolve(name, "stable")
    except ModelNotFound:
        return ()
    manifest = repository.load_manifest(name, number)
    return with_heads(manifest.provenance.metrics, manifest.heads)


def _stage(run: RunFolder, exported: ExportedRun) -> Path:
    """Copy the files of the version into a fresh folder of the run, and return it."""
    stage = run.path / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(exported.folder, stage)
    (stage / "export.json").unlink(missing_ok=True)
    shutil.copy(run.statistics, stage / "statistics.npz")
    return stage


def _manifest(
    model: TrainedModel,
    assessment: Assessment,
    exported: ExportedRun,
    provenance: Provenance,
    stage: Path,
    identity: tuple[str, int],
) -> ModelManifest:
    """Return the manifest of the version.

    Args:
        model, assessment, exported, provenance: the run and what is known about it.
        stage: folder with every file of the version.
        identity: name of the model and number of the version.
    """
    name, number = identity
    max_tokens = model.module.model.text.max_tokens
    text = TextSpec(file="text.onnx", tokenizer="tokenizer.json", max_tokens=max_tokens)
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
        golden=GoldenSpec(file="golden.npz", tolerance=GOLDEN_TOLERANCE, answers=ANSWERS_NAME),
        variants=exported.variants,
        files=digest_files(stage),
        provenance=provenance,
    )
