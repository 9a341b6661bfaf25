"""The training sub-commands: prepare, pretrain, finetune, evaluate, export, publish."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

Config = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one.")]
Run = Annotated[Path, typer.Argument(help="Folder of a run, runs/NAME.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the run; runs/NAME of the configuration.")
]
Cache = Annotated[Path, typer.Option(help="Where preprocessed radiographs are kept.")]
DEFAULT_CACHE = Path("runs/cache")
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value in place of the configuration's; again for more."),
]
DEFAULT_WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def prepare(
    config: Annotated[
        str, typer.Argument(help="A YAML file, the name of a shipped one, or of a data set.")
    ],
    cache: Cache = DEFAULT_CACHE,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0 is none but this one.")
    ] = DEFAULT_WORKERS,
    again: Annotated[
        bool, typer.Option("--again", help="Build it anew, where files came or were changed.")
    ] = False,
    changes: Changes = None,
    data: Annotated[
        Path | None, typer.Option(help="Of a data set: the folder that it lies in, or its own.")
    ] = None,
    protocol: Annotated[
        Literal["sound", "mgca"],
        typer.Option(help="Of a data set: our split, or the published one with its faults."),
    ] = "sound",
    size: Annotated[
        int, typer.Option(min=32, max=2048, help="Of a data set: side of the images in pixels.")
    ] = 224,
) -> None:
    """Read every radiograph of a configuration once, and say what was left out and why.

    \b
    g2d prepare small_pretrain
    g2d prepare mimic.yaml --workers 32
    g2d prepare rsna --data /data/rsna
    g2d prepare siim --data /data --protocol mgca --size 224

    Of a data set it first names every file that is missing, and counts its splits beside the
    paper's. docs/downstream_sets.md tells what each set must look like.

    Training does the same when it starts, with one process; the cache serves every later run.
    Killed or stopped, the same command goes on with what is left to do.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.config.files import describe_error, is_configuration, load_any
    from training.data.cache.cache import open_cache
    from training.data.prepare import compared_with_paper, data_set, preprocessing

    try:
        if is_configuration(config) and data is None:
            run = load_any(config, changes or ())
            rows, spec = run.data, run.preprocess
        else:
            rows, spec = data_set(config, data, protocol), preprocessing(size)
            for line in compared_with_paper(rows):
                typer.echo(line)
    except ValueError as error:
        raise typer.BadParameter(describe_error(error)) from error
    found = open_cache(rows, spec, cache, workers=workers, again=again)
    for split in ("train", "valid", "test"):
        chosen = [sample.row for sample in found.samples if sample.row.split == split]
        with_text = sum(bool(row.text) for row in chosen)
        typer.echo(f"{split}: {len(chosen)} radiographs, {with_text} with a report")
    for reason, count in sorted(found.left_out.items()):
        typer.echo(f"left out, {reason}: {count}")
    typer.echo(f"cache: {found.folder}")
    typer.echo(f"each row left out, and why: {found.manifest}")


def pretrain(
    config: Config, out: Out = None, cache: Cache = DEFAULT_CACHE, changes: Changes = None
) -> None:
    """Pre-train G2D: image-report contrast in parallel with pseudo segmentation.

    \b
    g2d pretrain small_pretrain      two CPU cores, about 20 minutes
    g2d pretrain g2d_paper           the paper's recipe, for GPUs
    g2d pretrain g2d_paper --set threshold=gmm --out runs/gmm

    Killed or stopped, the same command goes on from the last checkpoint.
    """  # noqa: D301 - as above
    from training.config.files import describe_error, load
    from training.config.pretrain import PretrainConfig
    from training.pretrain.pretrain import pretrain as run

    if changes and out is None:
        raise typer.BadParameter("a changed configuration is another run: name its folder, --out")
    try:
        chosen = load(config, PretrainConfig, changes or ())
    except ValueError as error:
        raise typer.BadParameter(describe_error(error)) from error
    typer.echo(run(chosen, out or _folder(config), cache))


def finetune(config: Config, out: Out = None, cache: Cache = DEFAULT_CACHE) -> None:
    """Fine-tune heads on a pre-trained trunk: findings, masks, boxes, phrase regions.

    \b
    g2d finetune small_finetune      two CPU cores, about an hour and a quarter

    Killed or stopped, the same command goes on from the last checkpoint.
    """  # noqa: D301 - as above
    from training.config.files import load
    from training.config.finetune import FinetuneConfig
    from training.finetune.finetune import finetune as run

    chosen = load(config, FinetuneConfig)
    typer.echo(run(chosen, out or _folder(config), cache))


def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="test, or valid to choose between runs.")] = "test",
    threshold: Annotated[
        str, typer.Option(help="Of each finding: youden, or sensitivity:0.95.")
    ] = "youden",
) -> None:
    """Calibrate on the validation split, measure on the test split, with intervals.

    \b
    g2d evaluate runs/small_finetune
    g2d evaluate runs/small_finetune --split valid
    g2d evaluate runs/small_finetune --threshold sensitivity:0.95
    g2d evaluate runs/small_pretrain          its zero-shot map alone

    Writes assessment.json and statistics.npz into the run; with another split than test it
    prints only, and the held-out phrases stay unseen.
    """  # noqa: D301 - as above
    from training.evaluation.assessment import RunFolder, assess, measure
    from training.evaluation.calibration import ThresholdRule
    from training.evaluation.trained_model import load_run, never_aligned

    try:
        rule = ThresholdRule.parse(threshold)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
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
    whole_trunk: Annotated[
        bool,
        typer.Option(
            "--whole-trunk", help="With maps that no head of the run reads, for heads to come."
        ),
    ] = False,
) -> None:
    """Export to ONNX and compare with PyTorch; a difference over 1e-4 is refused.

    \b
    g2d export runs/small_finetune

    Writes runs/NAME/export: no text side where no head reads phrases, no decoder where the heads
    read the encoder alone. Printed are the difference that counts (probabilities of logits,
    features relative beyond 1) and that of the raw numbers.
    """  # noqa: D301 - as above
    import shutil
    from dataclasses import replace

    from training.evaluation.assessment import RunFolder
    from training.evaluation.trained_model import load_run
    from training.export.onnx_export import export as run_export
    from training.export.onnx_export import write_parity

    folder = RunFolder(run).export
    shutil.rmtree(folder, ignore_errors=True)
    exported = run_export(replace(load_run(run), whole_trunk=whole_trunk), folder)
    write_parity(exported)
    for output, value in exported.parity.items():
        typer.echo(f"{output:28} {value:.1e}  raw {exported.raw[output]:.1e}")


def publish(
    run: Run,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "g2d-cxr",
    models: Annotated[Path, typer.Option(help="The model repository.")] = Path("models"),
    alias: Annotated[str, typer.Option(help="Alias of the new version; '' for none.")] = "stable",
    accept: Annotated[
        list[str] | None,
        typer.Option(help="A metric that may be worse than in stable; the card will say so."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="Publish this head alone, onto the version of --base.")
    ] = None,
    head_as: Annotated[
        str | None, typer.Option("--as", help="Name of that head in the version.")
    ] = None,
    base: Annotated[str, typer.Option(help="The version that --head is added to.")] = "stable",
) -> None:
    """Publish an evaluated and exported run as the next version; a gate that fails refuses.

    \b
    g2d evaluate runs/small_finetune && g2d export runs/small_finetune
    g2d publish runs/small_finetune --alias canary
    g2d publish runs/new_finding --head findings --as new_finding

    The version appears whole or not at all; `g2d models rollback` takes the alias back.
    """  # noqa: D301 - as above
    from training.evaluation.assessment import RunFolder
    from training.evaluation.trained_model import load_run
    from training.export.onnx_export import read_export
    from training.publish.publish_head import Target, publish_one_head
    from training.publish.publish_version import publish as run_publish

    folder, model = RunFolder(run), load_run(run)
    exported = read_export(folder)
    if head is None:
        number = run_publish(model, folder, exported, models, name, alias, accept or ())
    else:
        target = Target(models, name, base, head_as or head, alias, tuple(accept or ()))
        number = publish_one_head(model, folder, exported, head, target)
    typer.echo(f"{name} version {number}" + (f", alias {alias}" if alias else ""))


def ablation(
    config: Config = "ablation",
    out: Out = None,
    cache: Cache = DEFAULT_CACHE,
    write: Annotated[
        Path | None, typer.Option(help="A page whose generated part is written anew.")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Compute nothing; what is missing is named.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="A PNG of what the decoders see in two open radiographs.")
    ] = None,
) -> None:
    """Compare pre-trainings: lungs and pneumonia at 1, 10 and 100 percent of the labels.

    \b
    g2d ablation ablation --write docs/ablation.md      two CPU cores, about two hours
    g2d ablation ablation --table-only                  what is there by now

    Killed or stopped, the same command goes on with what is missing.
    """  # noqa: D301 - as above
    from training.config.files import load_ablation
    from training.experiments import ablation as experiment
    from training.experiments.markdown import rewrite
    from training.experiments.paired_differences import MARKERS, describe

    chosen, folder = load_ablation(config), out or _folder(config)
    if not table_only:
        for result in experiment.run(chosen, folder, cache):
            typer.echo(f"{result.cell.name}: {result.found.value:.4f} in {result.seconds:.0f} s")
    table = describe(chosen, folder)
    if write is None:
        typer.echo(table)
    else:
        rewrite(write, table, MARKERS)
    if picture is not None:
        from training.experiments.ablation_picture import draw

        draw(chosen, folder, cache, picture)


def _folder(config: str) -> Path:
    return Path("runs") / Path(config).stem
