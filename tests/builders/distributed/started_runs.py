"""Pre-trainings that are started as a command of their own."""

import os
import subprocess
from pathlib import Path

import torch

from training.config.pretrain import PretrainConfig

ROOT = Path(__file__).parents[3]


def start_pair_run(
    command: list[str], config: PretrainConfig, folder: Path, *options: str
) -> tuple[int, str]:
    """Run a pre-training in `folder`, and return its exit status and output."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config.model_dump_json())
    program = [
        *command,
        "-m",
        "tests.builders.distributed.run_of_pairs",
        str(folder / "config.json"),
    ]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*program, str(folder / "run"), str(folder.parent / "cache"), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr
