"""Miniature experiment tables: recipes of a few steps on one radiograph table."""

from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from training.config.experiments import Keys, TablesConfig
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.experiments.plan import TableJob, TableRequest

SET = "kermany_224"
SPLITS = ["train"] * 12 + ["valid"] * 4 + ["test"] * 4
LUNGS = ["Left lung", "Right lung"]


def write_set(root: Path, name: str = SET, *, flip_test_labels: bool = False) -> None:
    """Write a table in which every other radiograph has pneumonia, and all have lung masks."""
    files = {f"{name}/{i}.png": tiny_runs.picture(i) for i in range(len(SPLITS))}
    files[f"{name}/lungs.png"] = tiny_runs.lungs_png()
    records = [
        tiny_runs.record(
            f"{name}/{i}.png",
            split=split,
            labels="normal"
            if i % 2 ^ (flip_test_labels and split == "test")
            else "pneumonia|viral",
            lung_mask=f"{name}/lungs.png",
        )
        for i, split in enumerate(SPLITS)
    ]
    tiny_runs.write_table(root, name, records, files, tar=False)


def pretraining(root: Path, text: Path, epochs: int = 1) -> PretrainConfig:
    """Return a pre-training of two steps an epoch."""
    return PretrainConfig(
        kind="pretrain",
        epochs=epochs,
        batch_size=6,
        checkpoint_every=1,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=DataConfig(root=root, tables=(SET,)),
        model=tiny_runs.model_config(text),
        same_text_is_positive=True,
    )


def recipes() -> Keys:
    """Return the keys of a YAML file: tables 1, 5, 2b, and an unknown data set in table 4."""
    return {
        "kind": "tables",
        "pretraining": "g2d_paper",
        "shared": {
            "kind": "finetune", "regions": False, "keep_alignment": False, "checkpoint_every": 3,
            "engine": {"loggers": [], "accelerator": "cpu"},
        },
        "recipes": _finetunings(),
        "tasks": {
            "lungs": {
                "data": SET, "title": "Lungs", "kind": "segment", "recipe": "decoder",
                "labels": LUNGS,
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
        "tables": _tables(),
    }  # fmt: skip


def _finetunings() -> Keys:
    run = {"epochs": 2, "batch_size": 4, "augment": {"kind": "none"}, "optimiser": {"lr": 1e-3}}
    look = {"by": "loss", "patience": 5}
    return {
        "decoder": {"run": run | {"freeze_encoder": True}, "look": look},
        "linear": {
            "run": run | {"freeze_trunk": True},
            "at": {0.01: {"optimiser": {"weight_decay": 0.5}}},
            "look": look,
        },
    }


def _tables() -> Keys:
    starts = ("random", "encoder", "encoder_decoder")
    rows: Keys = {start: {"title": start, "of": start} for start in starts}
    dice = {"task": "lungs", "metric": "dice", "title": "Dice"}
    auroc = {"task": "pneumonia", "metric": "auroc", "title": "AUC"}
    lost = {"task": "lost", "metric": "auroc", "title": "AUC"}
    return {
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
    }  # fmt: skip


def ablation(data: str = SET) -> Keys:
    """Return the keys of an ablation: two arms, probes of two steps.

    Args:
        data: data set of both probes.
    """
    probe = {"steps": 2, "batch_size": 4, "lr": 1e-3, "weight_decay": 0, "choose_every": 1}
    return {
        "kind": "tables",
        "pretraining": "g2d_paper",
        "pretrains_each_seed": True,
        "recipes": {"decoder": {"probe": probe}, "linear": {"probe": probe}},
        "tasks": {
            "lungs": {
                "data": data, "title": "Lungs", "kind": "segment", "labels": LUNGS,
                "recipe": "decoder",
            },
            "pneumonia": {
                "data": data, "title": "Pneumonia", "kind": "classify", "labels": ["Pneumonia"],
                "recipe": "linear",
            },
        },
        "arms": {
            "none": {"set": ["decoder_loss=none"]},
            "pseudo": {"set": ["decoder_loss=pseudo_segmentation"]},
        },
        "tables": {
            "ablation": {
                "title": "Arms", "fractions": [0.5, 1.0],
                "rows": {
                    "pseudo": {"title": "pseudo", "of": "pseudo", "decoder": "new"},
                    "pseudo_decoder": {
                        "title": "pseudo with decoder", "of": "pseudo", "decoder": "transferred",
                    },
                    "random": {"title": "random", "of": "random"},
                },
                "columns": {
                    "lungs": {"task": "lungs", "metric": "dice", "title": "Dice"},
                    "pneumonia": {"task": "pneumonia", "metric": "auroc", "title": "AUROC"},
                },
                "pairs": [["pseudo_decoder", "random"], ["pseudo", "random"]],
            },
        },
    }  # fmt: skip


def job(root: Path, text: Path, table: str = "1", **request: object) -> TableJob:
    """Return one of the tables of `recipes`."""
    return TableJob(
        config=TablesConfig.model_validate(recipes()),
        pretraining=pretraining(root, text),
        data=root,
        request=TableRequest(table, **request),  # type: ignore[arg-type]
    )


def ablation_job(root: Path, text: Path, **request: object) -> TableJob:
    """Return the table of `ablation`."""
    return TableJob(
        config=TablesConfig.model_validate(ablation()),
        pretraining=pretraining(root, text, epochs=2),
        data=root,
        request=TableRequest("ablation", **request),  # type: ignore[arg-type]
    )
