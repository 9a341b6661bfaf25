"""Checks of a run before its processes start and before anything is written.

configuration -> devices -> loggers -> folder of the run -> data sets or shards
"""

from pathlib import Path

from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.cache.enough_rows import check_tables
from training.data.shards.open_rows import check_shards
from training.engine.checkpoint import check_folder
from training.engine.distributed import check_devices
from training.engine.loggers import check_loggers
from training.engine.run_folder import check_writable


def check_start(config: PretrainConfig | FinetuneConfig, out: Path, cache_folder: Path) -> None:
    """Check that a run can start, or go on, as it is configured.

    Args:
        config: configuration of the run.
        out: folder of the run.
        cache_folder: folder of preprocessed radiographs.

    Raises:
        RunRefused: it cannot; the message names the key or the file.
        MissingData: a data set is incomplete.
    """
    check_devices(config.engine, config.precision)
    check_loggers(config.engine.loggers)
    check_folder(out, config.model_dump_json())
    check_writable(cache_folder)
    if config.data.shards is None:
        check_tables(config.data)
    else:
        check_shards(config.data, config.preprocess)
