"""Publication of one head of a run onto an existing version, whose trunk stays the same.

    run with a frozen trunk -> export -> same features as the version? -> next version

A service that has the version loaded then loads the head alone.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric, ModelManifest, Provenance
from radiograph.repository.head_publishing import CARD_NAME, GOLDEN_NAME, NewHead, publish_head
from radiograph.repository.opening import open_current
from training.evaluation.assessment import RunFolder, read_assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import ExportedRun
from training.export.parity import TOLERANCE, difference, run_graph, torch_outputs
from training.git_commit import current_commit
from training.heads.head import PHRASES
from training.model.text_encoder import Tokens
from training.publish.gates import (
    about,
    refuse_stale,
    refuse_without_figures,
    refuse_worse,
    with_heads,
)
from training.publish.golden_recording import record_answers
from training.publish.model_card import model_card
from training.publish.provenance import configurations

Value = TypeVar("Value")


@dataclass(frozen=True)
class Target:
    """The version and the name that a head is published under.

    Attributes:
        models: root of the repository.
        name: name of the model.
        base: number or alias of the version that the head was trained on.
        head: name of the head in the version; a head of that name is replaced.
        alias: alias that the new version gets; empty for none.
        accept: metrics that may be worse than in the base (see `publish_version.publish`).
    """

    models: Path
    name: str
    base: str
    head: str
    alias: str
    accept: tuple[str, ...] = ()


def publish_one_head(
    model: TrainedModel, run: RunFolder, exported: ExportedRun, head: str, target: Target
) -> int:
    """Check the gates and publish one head.

    Args:
        model: the run.
        run: its folder, evaluated.
        exported: its export, within the tolerance.
        head: name of the head in the run.
        target: version and name that it is published under.

    Returns:
        The number of the new version.

    Raises:
        PublishRefused: a gate refused the head; nothing was published.
        ModelNotFound: the base does not exist.
    """
    assessment = read_assessment(run)
    if head not in assessment.heads:
        raise PublishRefused(f"the run has no head {head}: {', '.join(assessment.heads)}")
    refuse_stale(model, run, assessment, exported)
    repository = open_current(target.models)
    number = repository.resolve(target.name, target.base)
    base = repository.load_manifest(target.name, number)
    golden = repository.folder(target.name, number) / base.golden.file
    spec = assessment.heads[head]
    _refuse_missing_features(base, spec)
    _refuse_other_trunk(exported.folder, base, golden, spec)
    of_head = _of_head(with_heads(assessment.metrics, assessment.heads), head)
    refuse_without_figures([head], of_head)
    metrics = tuple(m.model_copy(update={"head": target.head}) for m in of_head)
    before = with_heads(base.provenance.metrics, base.heads)
    accepted = refuse_worse(metrics, before, target.accept)
    parity = _renamed(exported.parity, head, target.head)

    def provenance(old: Provenance) -> Provenance:
        named = old.model_copy(update={"metrics": before})
        done = _provenance(named, model, metrics, (target.head, parity))
        return done.model_copy(update={"accepted": (*done.accepted, *accepted)})

    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        published = spec.model_copy(update={"file": f"heads/{target.head}.onnx"})
        (stage / "heads").mkdir()
        shutil.copy(exported.folder / f"heads/{head}.onnx", stage / published.file)
        _write_golden(stage / GOLDEN_NAME, model, golden, (head, target.head))
        heads = {**base.heads, target.head: published}
        card = model_card(
            target.name, base.intended_use, base.licence, heads, provenance(base.provenance)
        )
        (stage / CARD_NAME).write_text(card)
        new, alias = NewHead(target.head, published, stage), target.alias or None
        publish_on = partial(publish_head, base=number, provenance=provenance, alias=alias)
        record = partial(record_answers, preprocess=base.preprocess)
        return publish_on(repository, target.name, new, record=record)


def _refuse_other_trunk(folder: Path, base: ModelManifest, golden: Path, head: HeadSpec) -> None:
    """Refuse a head that was trained on other features than those of the version.

    Features of the golden inputs are compared, and not files, because another release of the
    exporter may write the same network as another graph. Only the features that the head reads
    count.

    Args:
        folder: export of the run.
        base, golden: manifest of the version and its golden file.
        head: manifest entry of the head.
    """
    with np.load(golden, allow_pickle=False) as file:
        recorded = dict(file)
    read = {"trunk": set(head.inputs) - {PHRASES}, "text": set(head.inputs) & {PHRASES}}
    for graph, names in read.items():
        if not names:
            continue
        file_name = f"{graph}.onnx"
        outputs = run_graph(folder / file_name, recorded)
        same = all(
            difference(f"{graph}.{name}", recorded[f"{graph}.{name}"], outputs[name]) <= TOLERANCE
            for name in sorted(names)
        )
        if not same:
            raise PublishRefused(
                f"{file_name} of the run is not that of {base.name}/{base.version}: train with "
                "`freeze_trunk` and `start_from` the run that the version was published from"
            )


def _refuse_missing_features(base: ModelManifest, head: HeadSpec) -> None:
    """Refuse a head that reads features which the version lacks, such as those of a decoder."""
    given = {*base.trunk.outputs} | ({PHRASES} if base.text else set())
    if missing := sorted(set(head.inputs) - given):
        raise PublishRefused(
            f"{base.name}/{base.version} does not give {', '.join(missing)}, which the head reads: "
            "publish the run as a version of its own, or export the base with --whole-trunk"
        )


def _of_head(metrics: tuple[Metric, ...], head: str) -> tuple[Metric, ...]:
    """Return the metrics of one head."""
    return tuple(m for m in metrics if m.head == head)


def _renamed(outputs: Mapping[str, Value], head: str, name: str) -> dict[str, Value]:
    """Return the entries `<head>.<output>` of a head as `<name>.<output>`."""
    prefix = f"{head}."
    return {
        f"{name}.{key.removeprefix(prefix)}": value
        for key, value in outputs.items()
        if key.startswith(prefix)
    }


def _provenance(
    before: Provenance,
    model: TrainedModel,
    metrics: tuple[Metric, ...],
    head: tuple[str, Mapping[str, float]],
) -> Provenance:
    """Return the provenance of the base, extended by that of the head.

    Metrics and accepted metrics of a head that is replaced are removed.

    Args:
        before: provenance of the base, its metrics with their heads.
        model: the run.
        metrics: metrics of the head under its name in the version.
        head: its name in the version, and the differences of its outputs by name.
    """
    name, parity = head
    removed = _of_head(before.metrics, name)
    kept = tuple(m for m in before.metrics if m not in removed)
    return before.model_copy(
        update={
            "commit": current_commit(),
            "configuration": {
                **before.configuration,
                **{f"{name}_{file}": text for file, text in configurations(model.runs).items()},
            },
            "metrics": (*kept, *metrics),
            "accepted": tuple(
                text for text in before.accepted if not any(_concerns(text, m) for m in removed)
            ),
            "parity": {**before.parity, **parity},
        }
    )


def _concerns(accepted: str, metric: Metric) -> bool:
    """Return whether a description from `refuse_worse` concerns a metric.

    Descriptions in older versions do not name the head.
    """
    same = accepted.startswith(f"{' '.join(about(metric))}: ")
    return same and (accepted.endswith(f" ({metric.head})") or not accepted.endswith(")"))


def _write_golden(path: Path, model: TrainedModel, base: Path, names: tuple[str, str]) -> None:
    """Write the outputs of the head for the golden inputs of the base, from PyTorch.

    Args:
        path: file to write.
        model: the run.
        base: golden file of the base.
        names: name of the head in the run and in the version.
    """
    with np.load(base, allow_pickle=False) as golden:
        images = torch.from_numpy(golden["image"])
        texts = [
            torch.from_numpy(golden[name])
            for name in ("input_ids", "attention_mask")
            if name in golden
        ]
    tokens = Tokens(*texts) if texts and model.reads_text else None
    outputs = _renamed(torch_outputs(model, images, tokens), *names)
    np.savez_compressed(path, **outputs)  # type: ignore[arg-type] # numpy's stub
