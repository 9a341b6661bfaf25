"""What the pre-trained arms make of two radiographs that may be shown.

image | attention over the image | pseudo mask | decoder     a line for each arm and radiograph
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.config.ablation import AblationConfig
from training.config.pretrain import PretrainConfig
from training.data.cache.cache import Cache, open_cache
from training.data.rows.labels import truth
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.experiments.ablation import Folder, has_decoder
from training.experiments.ablation_probes import FINDING
from training.pretrain.objective import Pretraining
from training.pretrain.panels import draw_panel


def draw(config: AblationConfig, out: Path, cache_folder: Path, file: Path) -> None:
    """Write the picture, of the first seed, as a PNG.

    Raises:
        FileNotFoundError: no arm with a decoder was pre-trained.
    """
    cache = open_cache(config.pretrain.data, config.pretrain.preprocess, cache_folder)
    pixels = np.stack([cache.images[row] for row in shown(cache, config.classify.tables[-1])])
    images = torch.from_numpy(pixels).unsqueeze(1).float() / 255
    runs = [Folder(out).run(arm, config.seeds[0]) for arm in config.arms if has_decoder(arm)]
    done = [run / CHECKPOINT for run in runs if (run / CHECKPOINT).is_file()]
    if not done:
        raise FileNotFoundError(f"{out} holds no pre-training with a decoder")
    panels = [draw_panel(_read(checkpoint), images).numpy() for checkpoint in done]
    Image.fromarray(np.concatenate(panels)).save(file, optimize=True)


def shown(cache: Cache, table: str) -> list[int]:
    """The first test radiograph with the finding and the first without, of open licence."""
    found: dict[bool, int] = {}
    for i in cache.where("test"):
        row = cache.samples[i].row
        if row.table == table and row.licence_class == "open":
            found.setdefault(truth(row)[FINDING], i)
    return [found[positive] for positive in sorted(found)]


def _read(checkpoint: Path) -> Pretraining:
    """A pre-trained module; nothing in the file is executed."""
    saved = read_checkpoint(checkpoint)
    config = PretrainConfig.model_validate_json(saved.config)
    module = Pretraining(config)
    module.load_state_dict(saved.weights)
    return module
