"""Files of a run that are there completely or not at all."""

import os
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from training.refusal import RunRefused


def write_whole(fabric: Fabric, path: Path, state: dict[str, Any]) -> None:
    """Write a state, and replace the file of that name once the new one is complete.

    Raises:
        RunRefused: the disk is full or fails; the previous file is still there.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        fabric.save(partial, state)
        if fabric.is_global_zero:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch hides the error of the disk in its own
        if fabric.is_global_zero:
            partial.unlink(missing_ok=True)
        kept = "the file before it is kept" if path.is_file() else "there is none yet"
        reason = error.strerror if isinstance(error, OSError) else "no space left, or a fault"
        raise RunRefused(f"{path} was not written ({reason}); {kept}") from error
