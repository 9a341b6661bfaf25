"""Evaluation, export and publication of a run that was trained on the device."""

import itertools
import time
from pathlib import Path

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.parts.finetuning import HEADS, fine_tuning
from bench.accelerator.synthetic_set import write_set
from bench.reporting.checks import Check, at_most, not_measured
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.golden import replay
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.errors import ProviderUnavailable
from service.settings import Settings
from training.evaluation.assessment import RunFolder, assess
from training.evaluation.trained_model import load_run
from training.export.onnx_export import export, write_export
from training.finetune.finetune import finetune
from training.publish.publish_version import publish

PARITY = 1e-4
"""Largest difference of an output of ONNX from that of PyTorch."""
_MODEL = "synthetic"


def measure(options: Options) -> Findings:
    """Fine-tune every head, then evaluate, export, publish and load the version."""
    write_set(options.work / "data")
    times = [("start", time.perf_counter())]

    def done(stage: str) -> None:
        times.append((stage, time.perf_counter()))

    run = RunFolder(options.work / "run")
    finetune(fine_tuning(options, **HEADS["all of them"]), run.path, options.work / "cache")
    done("fine-tune, two epochs")
    model = load_run(run.path)
    assess(model, run)  # on the device; the others run on the host, as their commands do
    done("evaluate")
    exported = export(model, run.export)
    write_export(exported)
    done("export")
    models = options.work / "models"
    number = publish(model, run, exported, models, _MODEL, "stable")
    done("publish")
    repository = Repository(models)
    folder, manifest = repository.folder(_MODEL, number), repository.load_manifest(_MODEL, number)
    replayed = _replayed(options, folder, manifest)
    done("load and replay")
    worst = max(exported.parity, key=lambda name: exported.parity[name])
    note = f"largest of {len(exported.parity)} outputs: {worst}"
    checks = [
        at_most("ONNX against PyTorch", exported.parity[worst], PARITY, "", note),
        replayed,
    ]
    rows = [[name, f"{end - begin:.1f}"] for (_, begin), (name, end) in itertools.pairwise(times)]
    return Findings(checks, [Table("Seconds of each stage", ["stage", "s"], rows)])


def _replayed(options: Options, folder: Path, manifest: ModelManifest) -> Check:
    """Check the golden outputs as the service does, if ONNX Runtime computes on the device."""
    name = "golden outputs in the service"
    try:
        graphs = GraphCache(OrtOptions.of(Settings.of(provider=options.device)))
        backend = OrtBackend(folder, manifest, graphs)
    except ProviderUnavailable as error:
        return not_measured(name, f"at most {manifest.golden.tolerance:g}", str(error))
    return at_most(name, replay(backend, manifest, folder), manifest.golden.tolerance, "")
