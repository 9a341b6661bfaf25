"""The folder of a run: whether it can be written, and whether it holds the same run."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter, ValidationError

from training.config.files import RunConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.refusal import RunRefused

RUN: TypeAdapter[PretrainConfig | FinetuneConfig] = TypeAdapter(RunConfig)
"""Reads the configuration of a run of either kind."""


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, or can be created; nothing remains of the check.

    Raises:
        RunRefused: it cannot; the message names the folder.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise RunRefused(f"{folder}: {there} is a file, not a folder")
    try:
        with TemporaryDirectory(prefix=".g2d-", dir=there):
            pass
    except OSError as error:
        raise RunRefused(f"{folder}: {there} cannot be written: {error.strerror}") from error


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
