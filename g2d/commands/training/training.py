"""Sub-commands of training: prepare, pretrain, finetune, evaluate, export."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from radiograph.manifest import Precision
    from training.data.cache.cache import Cache as RadiographCache

Config = Annotated[str, typer.Argument(help="YAML file, or name of a shipped configuration.")]
Run = Annotated[Path, typer.Argument(help="Folder of the run, such as runs/NAME.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the run. Default: runs/NAME, after the configuration."),
]
Cache = Annotated[Path, typer.Option(help="Folder in which preprocessed radiographs are cached.")]
DEFAULT_CACHE = Path("runs/cache")
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change of the configuration, as key=value; repeat for more."),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the data sets. Default: that of the configuration.")
]
DEFAULT_WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
Workers = Annotated[
    int, typer.Option(min=0, help="Number of worker processes; 0 works in this process.")
]
Again = Annotated[
    bool,
    typer.Option(
        "--again", help="Rebuild the cache, for example after files were added or changed."
    ),
]
Folders = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets, or of the one that is named."),
]
Split = Annotated[
    Literal["sound", "mgca"],
    typer.Option(help="Split: ours (sound) or the published one (mgca); for data sets only."),
]
Side = Annotated[
    int,
    typer.Option(min=32, max=2048, help="Side of the cached images in pixels; for data sets only."),
]
Shards = Annotated[
    str | None,
    typer.Option(
        help="Folder or s3://bucket/path to which the cache is also written, as shards for"
        " runs on several nodes (data.shards)."
    ),
]
WholeTrunk = Annotated[
    bool,
    typer.Option(
        "--whole-trunk",
        help="Keep feature maps that no head of the run reads, for later heads.",
    ),
]
Int8 = Annotated[
    bool,
    typer.Option("--int8", help="Write the trunk in int8 too, a variant for processors."),
]
Float16 = Annotated[
    bool,
    typer.Option("--float16", help="Write the trunk in float16 too, a variant for GPUs."),
]
CalibrationCount = Annotated[
    int,
    typer.Option(min=1, help="Number of training images that set the ranges of int8."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Largest number of validation images of each data set that measure a variant."
        " Default: all.",
    ),
]


def prepare(
    config: Annotated[
        str, typer.Argument(help="YAML file, or name of a shipped configuration or of a data set.")
    ],
    cache: Cache = DEFAULT_CACHE,
    workers: Workers = DEFAULT_WORKERS,
    again: Again = False,
    changes: Changes = None,
    data: Folders = None,
    protocol: Split = "sound",
    size: Side = 224,
    shards: Shards = None,
) -> None:
    """Preprocess radiographs and cache them for training.

    \b
    g2d prepare shipped_pretrain
    g2d prepare mimic.yaml --workers 32
    g2d prepare rsna --data /data/rsna
    g2d prepare siim --data /data --protocol mgca --size 224
    g2d prepare mimic.yaml --shards s3://bucket/mimic

    Reports which rows are left out, and why. For a data set, it first names every file that is
    missing and prints the sizes of the splits beside those of the paper. The required layout of
    each data set is described in docs/downstream_sets.md.

    Training does the same in one process when it starts, and later runs use the same cache. If
    the command is interrupted, run it again to continue.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.config.files import is_configuration, load_any
    from training.data.cache.cache import open_cache
    from training.data.cache.enough_rows import check_tables
    from training.data.prepare import compared_with_paper, data_set, preprocessing
    from training.data.shards.write import check_target, write_shards
    from training.engine.run_folder import check_writable

    if is_configuration(config):
        run = load_any(config, _changes(None, data, None) + (changes or []))
        rows, spec = run.data, run.preprocess
    else:
        rows, spec = data_set(config, data, protocol), preprocessing(size)
    check_writable(cache)
    check_tables(rows)
    if shards is not None:
        check_target(shards, rows, spec, again=again)
    if not is_configuration(config):
        for line in compared_with_paper(rows):
            typer.echo(line)
    found = open_cache(rows, spec, cache, workers=workers, again=again)
    _report(found)
    if shards is not None:
        written = write_shards(found, rows, spec, shards, again=again)
        typer.echo(f"shards: {len(written.shards)} with {written.rows} rows in {shards}")


def _report(found: "RadiographCache") -> None:
    """Print what a cache holds, and which rows are left out."""
    for split in ("train", "valid", "test"):
        chosen = [sample.row for sample in found.samples if sample.row.split == split]
        with_text = sum(bool(row.text) for row in chosen)
        typer.echo(f"{split}: {len(chosen)} radiographs, {with_text} with a report")
    for reason, count in sorted(found.left_out.items()):
        typer.echo(f"left out, {reason}: {count}")
    typer.echo(f"cache: {found.folder}")
    typer.echo(f"each row left out, and why: {found.manifest}")


def pretrain(
    config: Config,
    out: Out = None,
    cache: Cache = DEFAULT_CACHE,
    changes: Changes = None,
    data: Data = None,
) -> None:
    """Pre-train G2D on radiographs and their reports.

    Image-report contrast and pseudo segmentation are trained in parallel.

    \b
    g2d pretrain shipped_pretrain    takes about 25 minutes on two CPU cores
    g2d pretrain g2d_paper           the recipe of the paper, for GPUs
    g2d pretrain g2d_paper --data /data
    g2d pretrain g2d_paper --set threshold=gmm --out runs/gmm

    If the command is interrupted, run it again to continue from the last checkpoint.
    """  # noqa: D301 - as above
    from training.config.files import load
    from training.config.pretrain import PretrainConfig
    from training.pretrain.pretrain import pretrain as run

    chosen = load(config, PretrainConfig, _changes(changes, data, out))
    typer.echo(run(chosen, out or _folder(config), cache))


def finetune(
    config: Config,
    out: Out = None,
    cache: Cache = DEFAULT_CACHE,
    changes: Changes = None,
    data: Data = None,
) -> None:
    """Fine-tune heads on a pre-trained trunk.

    A head predicts findings, masks, boxes or regions of phrases.

    \b
    g2d finetune shipped_finetune    takes about 25 minutes on two CPU cores
    g2d finetune shipped_finetune --data /data
    g2d finetune shipped_finetune --set pretrained=runs/gmm/last.ckpt --out runs/gmm_heads

    If the command is interrupted, run it again to continue from the last checkpoint.
    """  # noqa: D301 - as above
    from training.config.files import load
    from training.config.finetune import FinetuneConfig
    from training.finetune.finetune import finetune as run

    chosen = load(config, FinetuneConfig, _changes(changes, data, out))
    typer.echo(run(chosen, out or _folder(config), cache))


def _changes(changes: list[str] | None, data: Path | None, out: Path | None) -> list[str]:
    """Return the changes of a configuration by --set and --data."""
    from training.refusal import RunRefused

    if changes and out is None:
        raise RunRefused("--set changes the configuration: give the run its own folder with --out")
    # A JSON string is YAML whatever characters the path has.
    return [*(changes or ()), *([f"data.root={json.dumps(str(data))}"] if data else ())]


def evaluate(
    run: Run,
    split: Annotated[
        str, typer.Option(help="Split to measure: test, or valid to choose between runs.")
    ] = "test",
    threshold: Annotated[
        str,
        typer.Option(help="Rule for the threshold of each finding: youden, or sensitivity:0.95."),
    ] = "youden",
    least_auroc: Annotated[
        float | None,
        typer.Option(
            help="Withhold findings unless the validation interval of their AUROC lies above this.",
            min=0,
            max=1,
        ),
    ] = None,
) -> None:
    """Calibrate a run and measure it on the test split.

    Temperatures and thresholds are fitted on the validation split. Metrics are printed with 95 %
    intervals.

    \b
    g2d evaluate runs/shipped_words
    g2d evaluate runs/shipped_words --split valid
    g2d evaluate runs/shipped_words --threshold sensitivity:0.95
    g2d evaluate runs/shipped_pretrain          measures its zero-shot grounding only

    Writes assessment.json and statistics.npz into the folder of the run. With a split other than
    test it only prints, and does not use the held-out phrases.
    """  # noqa: D301 - as above
    from training.evaluation.assessment import RunFolder, assess, measure
    from training.evaluation.calibration.calibrate import ThresholdRule
    from training.evaluation.trained_model import load_run, never_aligned

    rule = replace(ThresholdRule.parse(threshold), least_auroc=least_auroc)
    model = load_run(run)
    if why := never_aligned(model.runs):
        typer.echo(why, err=True)
    if split == "test":
        metrics = assess(model, RunFolder(run), rule).metrics
    else:
        metrics = measure(model, split, rule)
    for m in metrics:
        interval = f"{m.low:.3f} to {m.high:.3f}"
        typer.echo(f"{m.data:14} {m.label:28} {m.metric:26} {m.value:.3f}  {interval}  n={m.n}")


def export(
    run: Run,
    whole_trunk: WholeTrunk = False,
    int8: Int8 = False,
    float16: Float16 = False,
    images: CalibrationCount = 200,
    limit: Limit = None,
) -> None:
    """Export a run to ONNX and compare it with PyTorch.

    A difference above 1e-4 is refused.

    \b
    g2d export runs/shipped_words
    g2d export runs/shipped_words --int8

    Writes runs/NAME/export, without the text encoder if no head reads phrases, and without the
    decoder if the heads read the encoder only. For every output it prints the difference that is
    checked (of probabilities for logits, relative for features above 1) and that of the raw
    values.

    A variant is measured on the validation split beside float32, with the thresholds of the last
    `g2d evaluate`, and is written only if no figure is worse (docs/versions.md, Variants).
    """  # noqa: D301 - as above
    import shutil
    from dataclasses import replace

    from training.evaluation.assessment import RunFolder
    from training.evaluation.trained_model import load_run
    from training.export.onnx_export import export as run_export
    from training.export.onnx_export import write_export
    from training.export.variants.variants import VariantPlan, VariantWriter

    folder, model = RunFolder(run), replace(load_run(run), whole_trunk=whole_trunk)
    wanted: dict[Precision, bool] = {"int8": int8, "float16": float16}
    plan = VariantPlan(tuple(name for name, asked in wanted.items() if asked), images, limit)
    variants = VariantWriter.prepare(model, folder, plan) if plan.precisions else None
    shutil.rmtree(folder.export, ignore_errors=True)
    exported = run_export(model, folder.export)
    write_export(exported)
    for output, value in exported.parity.items():
        typer.echo(f"{output:28} {value:.1e}  raw {exported.raw[output]:.1e}")
    for line in variants.write(exported) if variants is not None else ():
        typer.echo(line)


def _folder(config: str) -> Path:
    return Path("runs") / Path(config).stem
