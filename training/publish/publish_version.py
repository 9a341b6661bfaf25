"""Publish a run: its exported files, what was measured, and a model card become a version.

    run/ -> assess (calibrate, measure) -> assessment.json, statistics.npz
         -> export (parity)             -> export/
    both note the digest of the model that they are of
         -> gates -> radiograph.repository.repository.publish -> models/<name>/<n>/

Gates: evaluation and export are of the run as it is now, no label is in two heads of a kind,
every ONNX output equals PyTorch within 1e-4 (as `export.difference` reads it), the
golden outputs come out again, and no metric is below the interval that the version in
`stable` has for it.
"""

import datetime
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from radiograph.errors import ModelNotFound, PublishRefused
from radiograph.manifest import (
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
from radiograph.repository.repository import Repository, digest_files
from training.evaluation.assessment import Assessment, RunFolder, read_assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import Exported
from training.publish.gates import GOLDEN_TOLERANCE, refuse_other_golden, refuse_worse, with_heads
from training.publish.model_card import model_card
from training.publish.provenance import _provenance, licence_of

GIVES = {
    Task.CLASSIFY: "labels",
    Task.SEGMENT: "masks",
    Task.DETECT: "boxes",
    Task.GROUND: "phrase grounding",
}


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
