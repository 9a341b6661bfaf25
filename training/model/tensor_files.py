"""Reading files of tensors; no code in them is executed."""

import pickle
import struct
from pathlib import Path
from typing import Any

import torch

from training.refusal import WeightsRefused

UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError,
    TypeError, struct.error, OverflowError, MemoryError, AssertionError, OSError,
)  # fmt: skip
"""Errors that reading an invalid file ends in; `torch.load` has no error of its own."""


def read_tensors(path: Path, key: str, *, mmap: bool = False) -> Any:
    """Return the content of a file that PyTorch saved, on the host.

    Args:
        path: the file.
        key: key of the configuration, or another name, that the error is about.
        mmap: True reads tensors from the file when they are used.

    Raises:
        RunRefused: there is no such file, or it is no file of tensors or cut off.
    """
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise WeightsRefused(f"{key}: {path} {found}")
    try:
        return torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except UNREADABLE as error:
        raise WeightsRefused(f"{key}: {path} is no file of tensors, or is cut off") from error
