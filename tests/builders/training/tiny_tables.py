"""A miniature of the paper's tables: recipes of a few steps on one radiograph table."""

from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from training.config.experiments import Keys, TablesConfig
from training.config.pretrain import PretrainConfig
from training.config.run import PairsConfig
from training.experiments.plan import Asked, Job

SET = "kermany_224"
SPLITS = ["train"] * 12 + ["valid"] * 4 + ["test"] * 4


def write_set(root: Path, name: str = SET) -> None:
    """Every other radiograph has pneumonia; all have the masks of both lungs."""
    files = {f"{name}/{i}.png": tiny_runs.picture(i) for i in range(len(SPLITS))}
    files[f"{name}/lungs.png"] = tiny_runs.lungs_png()
    records = [
        tiny_runs.record(
            f"{name}/{i}.png",
            split=split,
            labels="normal" if i % 2 else "pneumonia|viral",
            lung_mask=f"{name}/lungs.png",
        )
        for i, split in enumerate(SPLITS)
    ]
    tiny_runs.write_table(root, name, records, files, tar=False)


def pretraining(root: Path, text: Path) -> PretrainConfig:
    """Two steps."""
    return PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=6,
        checkpoint_every=1,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=PairsConfig(root=root, tables=(SET,)),
        model=tiny_runs.model_config(text),
        same_text_is_positive=True,
    )


def recipes() -> Keys:
    """What a YAML would say: tables 1, 5, 2b and an unknown data set in table 4."""
    run = {"epochs": 2, "batch_size": 4, "augment": {"kind": "none"}, "optimiser": {"lr": 1e-3}}
    look = {"by": "loss", "patience": 5}
    starts = ("random", "encoder", "encoder_decoder")
    rows: Keys = {start: {"title": start, "of": start} for start in starts}
    dice = {"task": "lungs", "metric": "dice", "title": "Dice"}
    auroc = {"task": "pneumonia", "metric": "auroc", "title": "AUC"}
    lost = {"task": "lost", "metric": "auroc", "title": "AUC"}
    return {
        "kind": "tables",
        "pretraining": "g2d_paper",
        "shared": {
            "kind": "finetune", "regions": False, "keep_alignment": False, "checkpoint_every": 3,
            "engine": {"loggers": [], "accelerator": "cpu"},
        },
        "recipes": {
            "decoder": {"run": run | {"freeze_encoder": True}, "look": look},
            "linear": {
                "run": run | {"freeze_trunk": True},
                "at": {0.01: {"optimiser": {"weight_decay": 0.5}}},
                "look": look,
            },
        },
        "tasks": {
            "lungs": {
                "data": SET, "title": "Lungs", "kind": "segment", "recipe": "decoder",
                "labels": ["Left lung", "Right lung"],
            },
            "pneumonia": {
                "data": SET, "title": "Pneumonia", "kind": "classify", "recipe": "linear",
                "labels": ["Pneumonia"],
            },
            "lost": {
                "data": "lost_set", "title": "Lost", "kind": "classify", "recipe": "linear",
                "labels": ["Pneumonia"],
            },
            "asked": {"data": SET, "title": "Pneumonia", "kind": "zero_shot"},
        },
        "arms": {"shuffled": {"set": ["shuffle_masks=true"]}},
        "tables": {
            "1": {
                "title": "First", "fractions": [1.0],
                "rows": rows | {"convirt": {"title": "ConVIRT"}},
                "columns": {"siim_dice": dice, "auroc": auroc},
            },
            "4": {
                "title": "Fourth", "fractions": [0.01, 1.0],
                "rows": {"random": rows["random"]},
                "columns": {"auroc": auroc, "lost": lost},
            },
            "5": {
                "title": "Fifth", "fractions": [1.0],
                "rows": {
                    "own": {"title": "own", "of": "pretrained", "group": "masks"},
                    "shuffled": {"title": "shuffled", "of": "shuffled", "group": "masks"},
                },
                "columns": {"auroc": auroc},
            },
            "2b": {
                "title": "Zero-shot",
                "rows": {"g2d": {"title": "G2D", "of": "pretrained"}},
                "columns": {"auroc": {"task": "asked", "metric": "auroc", "title": "AUC"}},
            },
        },
    }  # fmt: skip


def job(root: Path, text: Path, table: str = "1", **asked: object) -> Job:
    """One of its tables."""
    return Job(
        config=TablesConfig.model_validate(recipes()),
        pretraining=pretraining(root, text),
        data=root,
        asked=Asked(table, **asked),  # type: ignore[arg-type]
    )
