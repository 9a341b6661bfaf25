"""The folder of a run: whether it can be written, whether it holds the same run, whole files."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.fabric import Fabric
from pydantic import TypeAdapter, ValidationError

from training.config.files import RunConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.refusal import DataRefused, RunRefused

RUN: TypeAdapter[PretrainConfig | FinetuneConfig] = TypeAdapter(RunConfig)
"""Reads the configuration of a run of either kind."""


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, or can be created; nothing remains of the check.

    Raises:
        RunRefused: it cannot; the message names the folder.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise DataRefused(f"{folder}: {there} is a file, not a folder")
    try:
        with TemporaryDirectory(prefix=".g2d-", dir=there):
            pass
    except OSError as error:
        raise DataRefused(f"{folder}: {there} cannot be written: {error.strerror}") from error


def check_same_run(folder: Path, before: dict[str, Any], now: str) -> None:
    """Raise an error unless two configurations train the same; the engine does not count.

    Both are validated, so that keys that a newer version has added do not count either. The batch
    size may differ if the position of the checkpoint tells how many rows a step saw.
    """
    if before["config"] == now:
        return
    left_out = {"engine"} if before.get("position") is None else {"engine", "batch_size"}
    advice = "; choose another folder with --out"
    try:
        old, new = (
            _flat(RUN.validate_json(text).model_dump(mode="json", exclude=left_out))
            for text in (before["config"], now)
        )
    except ValidationError as error:
        raise RunRefused(f"{folder} holds a run of another configuration{advice}") from error
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if keys:
        shown = ", ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in keys[:3])
        more = f", and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise RunRefused(f"{folder} holds a run of another configuration ({shown}{more}){advice}")


def _flat(keys: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in keys.items():
        nested = isinstance(value, dict)
        found |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return found


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
        raise DataRefused(f"{path} was not written ({reason}); {kept}") from error
