"""Safe loading of the tensors of an untrusted file; no code in it is ever executed.

file -> mapping (pickle of tensors only, or safetensors) -> state dict without its wrapping
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from training.model.tensor_files import UNREADABLE
from training.refusal import WeightsRefused

WRAPPERS = ("model_state_dict", "state_dict", "model", "module")
"""Keys under which training codes store the state dict; the released code uses the first."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that DDP, `torch.compile` and Lightning add to the name of every tensor."""
MAX_DEPTH = 4
"""Largest number of wrappings; a pickle can hold a mapping that contains itself."""


class CheckpointRefused(WeightsRefused):
    """The file is not a checkpoint that can be imported; nothing was written."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by their names in the module that was saved.

    Raises:
        CheckpointRefused: there is no such file, it is not a state dict of dense tensors, or it
            would execute code.
    """
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise CheckpointRefused(f"{path} {found}")
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickle(path)
    state = _unwrapped(loaded, path)
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _load_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointRefused(f"{path} is no safetensors file: {error}") from error


def _load_pickle(path: Path) -> object:
    with path.open("rb") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error below says what is wrong with the file
        return _load_opened(opened, path)


def _load_opened(opened: BinaryIO, path: Path) -> object:
    try:
        return torch.load(opened, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if request := re.search(r"GLOBAL (\S+)|type (\S+) was not", str(error)):
            name = request[1] or request[2]
            raise CheckpointRefused(
                f"{path} refused, and nothing of it was run: it asks for `{name}`, and a "
                "checkpoint may hold tensors only. If you trust it, save its state dict alone"
            ) from error
        raise CheckpointRefused(f"{path} is not a checkpoint, or is cut off") from error


def _unwrapped(loaded: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict, from under any wrapping."""
    for _ in range(MAX_DEPTH):
        if not isinstance(loaded, Mapping) or not loaded:
            break
        if isinstance(loaded.get("config"), str) and isinstance(loaded.get("model"), Mapping):
            raise CheckpointRefused(f"{path} is a checkpoint of ours and needs no import")
        if all(isinstance(value, Tensor) for value in loaded.values()):
            return {str(name): _dense(str(name), value) for name, value in loaded.items()}
        inner = [key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)]
        if len(inner) != 1:
            held = ", ".join(sorted(map(str, loaded))[:8])
            raise CheckpointRefused(f"{path} holds no state dict, or several, under: {held}")
        loaded = loaded[inner[0]]
    raise CheckpointRefused(f"{path} holds no state dict")


def _dense(name: str, value: Tensor) -> Tensor:
    """Return the tensor if the file holds all of its elements.

    A stride of 0 would let a single element claim to be a million.
    """
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_meta
    if not plain or value.numel() * value.itemsize > value.untyped_storage().nbytes():
        raise CheckpointRefused(f"{name} is not a dense tensor")
    return value.detach()
