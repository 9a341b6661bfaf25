"""What several tests of the training share. Do not write to any of it."""

from pathlib import Path

import pytest

from tests.training import tiny_runs
from training import loop
from training.tasks.finetune import finetune


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers and its tokenizer."""
    loop.seed_everything(0)
    return tiny_runs.save_text_encoder(tmp_path_factory.mktemp("text") / "bert")


@pytest.fixture(scope="session")
def finetuned(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of two steps of fine-tuning, every head in it."""
    folder = tmp_path_factory.mktemp("finetuned")
    model = tiny_runs.model_config(text_encoder)
    config = tiny_runs.finetune_config(folder / "data", model)
    return finetune(config, folder / "run", folder / "cache")
