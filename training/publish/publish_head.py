"""Publish one head of a run onto a version that is there already: its trunk stays what it is.

    run with a frozen trunk -> export -> its features are those of the version? -> next version

The service that has the version loaded takes up the new one by loading the head alone.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric, ModelManifest, Provenance
from radiograph.repository.head_publishing import CARD_NAME, GOLDEN_NAME, NewHead, publish_head
from radiograph.repository.repository import Repository
from training.evaluation.assessment import RunFolder, read_assessment
from training.evaluation.trained_model import PHRASES, TrainedModel
from training.export.onnx_export import Exported
from training.export.parity import TOLERANCE, difference, run_graph, torch_answers
from training.git_commit import current_commit
from training.model.text_encoder import Tokens
from training.publish.gates import about, refuse_worse, with_heads
from training.publish.model_card import model_card
from training.publish.provenance import configurations
from training.publish.publish_version import refuse_of_other_weights


@dataclass(frozen=True)
class Target:
    """Where a head goes.

    Attributes:
        models: the repository's root.
        name: of the model.
        base: number or alias of the version that it was trained on.
        head: name that it is published under; one of that name is replaced.
        alias: that the new version gets; empty for none.
        accept: metrics that may be worse than in the base; see `publish_version.publish`.
    """

    models: Path
    name: str
    base: str
    head: str
    alias: str
    accept: tuple[str, ...] = ()


def publish_one_head(
    model: TrainedModel, run: RunFolder, exported: Exported, head: str, target: Target
) -> int:
    """Check the gates and publish; gives the number of the new version.

    Args:
        model: the run.
        run: its folder, evaluated.
        exported: its graphs, within the tolerance.
        head: which head of the run.
        target: where it goes.

    Raises:
        PublishRefused: a gate failed; nothing was published.
        ModelNotFound: there is no such version.
    """
    assessment = read_assessment(run)
    if head not in assessment.heads:
        raise PublishRefused(f"the run has no head {head}: {', '.join(assessment.heads)}")
    refuse_of_other_weights(model, run, assessment, exported)
    repository = Repository(target.models)
    number = repository.resolve(target.name, target.base)
    base, folder = (
        repository.load_manifest(target.name, number),
        repository.folder(target.name, number),
    )
    golden = folder / base.golden.file
    _refuse_missing_features(base, assessment.heads[head])
    _refuse_another_trunk(exported.folder, base, golden, assessment.heads[head])
    found = _of_head(with_heads(assessment.metrics, assessment.heads), head)
    metrics = tuple(m.model_copy(update={"head": target.head}) for m in found)
    before = with_heads(base.provenance.metrics, base.heads)
    accepted = refuse_worse(metrics, before, target.accept)
    spec = assessment.heads[head].model_copy(update={"file": f"heads/{target.head}.onnx"})

    def provenance(old: Provenance) -> Provenance:
        named = old.model_copy(update={"metrics": before})
        done = _provenance(named, model, metrics, (head, target.head, exported.parity))
        return done.model_copy(update={"accepted": (*done.accepted, *accepted)})

    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        (stage / "heads").mkdir()
        shutil.copy(exported.folder / f"heads/{head}.onnx", stage / spec.file)
        _write_golden(stage / GOLDEN_NAME, model, golden, (head, target.head))
        heads = {**base.heads, target.head: spec}
        card = model_card(
            target.name, base.intended_use, base.licence, heads, provenance(base.provenance)
        )
        (stage / CARD_NAME).write_text(card)
        return publish_head(
            repository,
            target.name,
            NewHead(target.head, spec, stage),
            base=number,
            provenance=provenance,
            alias=target.alias or None,
        )


def _refuse_another_trunk(folder: Path, base: ModelManifest, golden: Path, head: HeadSpec) -> None:
    """The head answers on the features that it was trained on, or on none.

    Another release of the exporter may write the same network as another graph, so that the
    features of the golden inputs are compared, not the files; those that the head reads.
    """
    with np.load(golden, allow_pickle=False) as recorded:
        wanted = dict(recorded)
    read = {"trunk": set(head.inputs) - {PHRASES}, "text": set(head.inputs) & {PHRASES}}
    for graph, names in read.items():
        if not names:
            continue
        ours = f"{graph}.onnx"
        answers = run_graph(folder / ours, wanted)
        recorded_as = {name: f"{graph}.{name}" for name in sorted(names)}
        if not all(
            difference(key, wanted[key], answers[name]) <= TOLERANCE
            for name, key in recorded_as.items()
        ):
            raise PublishRefused(
                f"{ours} of the run is not that of {base.name}/{base.version}: train with "
                "`freeze_trunk` and `start_from` the run that the version was published from"
            )


def _refuse_missing_features(base: ModelManifest, head: HeadSpec) -> None:
    """A version gives what its own heads read: not every trunk has a decoder or a text side."""
    given = {*base.trunk.outputs} | ({PHRASES} if base.text else set())
    if missing := sorted(set(head.inputs) - given):
        raise PublishRefused(
            f"{base.name}/{base.version} does not give {', '.join(missing)}, which the head reads: "
            "publish the run as a version of its own, or export the base with --whole-trunk"
        )


def _of_head(metrics: tuple[Metric, ...], head: str) -> tuple[Metric, ...]:
    """The figures of one head among those of several."""
    return tuple(m for m in metrics if m.head == head)


def _provenance(
    before: Provenance,
    model: TrainedModel,
    metrics: tuple[Metric, ...],
    names: tuple[str, str, Mapping[str, float]],
) -> Provenance:
    """That of the base, with the run's configurations and the head's figures.

    The figures of a head that is replaced go with it.
    """
    head, name, parity = names
    gone = _of_head(before.metrics, name)
    kept = tuple(m for m in before.metrics if m not in gone)
    renamed = {
        f"{name}{output.removeprefix(head)}": value
        for output, value in parity.items()
        if output.startswith(f"{head}.")
    }
    return before.model_copy(
        update={
            "commit": current_commit(),
            "configuration": {
                **before.configuration,
                **{f"{name}_{file}": text for file, text in configurations(model.runs).items()},
            },
            "metrics": (*kept, *metrics),
            "accepted": tuple(w for w in before.accepted if not any(_tells(w, m) for m in gone)),
            "parity": {**before.parity, **renamed},
        }
    )


def _tells(accepted: str, metric: Metric) -> bool:
    """Whether words of `refuse_worse` are about a figure; earlier ones do not name the head."""
    of_it = accepted.startswith(f"{' '.join(about(metric))}: ")
    return of_it and (accepted.endswith(f" ({metric.head})") or not accepted.endswith(")"))


def _write_golden(path: Path, model: TrainedModel, base: Path, names: tuple[str, str]) -> None:
    """What PyTorch answers with the head to the golden inputs of the base."""
    head, name = names
    with np.load(base, allow_pickle=False) as golden:
        images = torch.from_numpy(golden["image"])
        texts = [
            torch.from_numpy(golden[name])
            for name in ("input_ids", "attention_mask")
            if name in golden
        ]
    tokens = Tokens(*texts) if texts and model.reads_text else None
    answers = torch_answers(model, images, tokens)
    prefix = f"{head}."
    outputs = {
        f"{name}.{key.removeprefix(prefix)}": value
        for key, value in answers.items()
        if key.startswith(prefix)
    }
    np.savez_compressed(path, **outputs)  # type: ignore[arg-type] # numpy's stub
