"""Weights from elsewhere as runs, and runs for elsewhere.

`g2d import-version`: a published version; `g2d import-checkpoint` and `g2d export-checkpoint`:
checkpoints of the released G2D code.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from g2d.commands.models.models import READ_DIR, ModelsDir, Name, Reference
from g2d.failures import RefusedCommand
from radiograph.repository.opening import open_current


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="Checkpoint file: .pth, .ckpt or .safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run, such as runs/NAME.")],
    config: Annotated[
        str, typer.Option(help="YAML file or name of the pre-training configuration of the model.")
    ] = "g2d_released",
) -> None:
    """Import a checkpoint of the released G2D code.

    The new run holds the encoder, the encoder and decoder, or the whole model.

    \b
    g2d import-checkpoint G2D_encoder_decoder.pth --out runs/released
    g2d finetune my.yaml            where my.yaml has `pretrained: runs/released/last.ckpt`

    No code in the file is executed. A name, shape or value that does not match refuses the file.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.checkpoint_conversion.from_released import LayoutMismatch
    from training.checkpoint_conversion.from_released import import_checkpoint as run
    from training.config.files import load
    from training.config.pretrain import PretrainConfig

    try:
        done = run(file, load(config, PretrainConfig), out)
    except LayoutMismatch as error:
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        raise
    source = done.source
    typer.echo(f"{done.checkpoint}: {source.layout} layout, sha256 {source.sha256}")
    for part in source.from_file:
        typer.echo(f"{part:18} from the file, {done.tensors[part]} tensors")
    if done.resized:
        typer.echo("positions of attnpool: resized to the image size of the configuration")
    for part, start in source.fresh.items():
        typer.echo(f"{part:18} NOT in the file: {start}")
    for name in done.unread:
        typer.echo(f"{name}: kept for an export, read by nothing")
    if source.fresh.keys() - {"img_model.decoder"}:
        typer.echo("Images and text are not aligned: zero-shot evaluation refuses this run.")


def import_version(
    name: Name,
    reference: Reference,
    out: Annotated[Path, typer.Option(help="Folder of the new run, such as runs/NAME.")],
    models_dir: ModelsDir = READ_DIR,
) -> None:
    """Import a published version as a run, to train it further on other data.

    \b
    g2d import-version g2d-cxr stable --out runs/shipped
    g2d finetune my.yaml            where my.yaml has
                                    pretrained: runs/shipped/pretrained/last.ckpt
                                    start_from: runs/shipped/last.ckpt

    The run must give the golden outputs of the version. Weights that the version does not hold,
    such as those of the pseudo-segmentation, start anew.
    """  # noqa: D301 - as above
    from training.version_import.import_version import import_version as run

    repository = open_current(models_dir)
    done = run(repository, name, repository.resolve(name, reference), out)
    typer.echo(f"{done.checkpoint}: within {done.difference:.1g} of the golden outputs")
    if done.pretrained is not None:
        typer.echo(f"{done.pretrained}: its trunk, for `pretrained`")
    if done.fresh:
        typer.echo(f"not in the version, random: {', '.join(done.fresh)}")


def export_checkpoint(
    run: Annotated[Path, typer.Argument(help="Folder of the run, such as runs/NAME.")],
    out: Annotated[Path, typer.Option(help="File to write: .pth or .safetensors.")],
    layout: Annotated[
        Literal["encoder", "encoder-decoder", "full"],
        typer.Option(help="Part of the model to write."),
    ] = "encoder-decoder",
) -> None:
    """Export a run for the released G2D code.

    The weights are written under the names that the released code reads.

    \b
    g2d export-checkpoint runs/g2d_paper --out g2d_encoder.pth --layout encoder
    g2d export-checkpoint runs/released --out g2d.pth --layout full
    """  # noqa: D301 - as above
    from training.checkpoint_conversion.to_released import export_checkpoint as write

    if out.suffix not in (".pth", ".safetensors"):
        raise RefusedCommand(f"--out {out}: a checkpoint is a .pth or .safetensors file")
    done = write(run, out, layout)
    typer.echo(f"{out}: {layout} layout, {done.tensors} tensors")
    if done.left_out:
        typer.echo(f"not in this layout: {', '.join(done.left_out)}")
    for name in done.zeros:
        typer.echo(f"{name}: zeros, read by nothing")
