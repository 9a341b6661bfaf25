"""Modes in which an operation is an error for which the host would wait for the device."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense,  # item(), float(), bool(), int(), `if tensor`
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten.unique_dim,
    aten._unique2,
}


class Waited(Exception):
    """The host would have waited."""


class _NoWaiting(TorchDispatchMode):
    """Refuses operations whose result, or its shape, depends on values on the device."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        by_mask = func.overloadpacket in {aten.index, aten.index_put, aten.index_put_} and any(
            isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1]
        )
        if func.overloadpacket in WAITING or by_mask:
            raise Waited(str(func))
        return func(*args, **(kwargs or {}))


def no_waiting() -> Any:
    """Return the mode; entering it is untyped in PyTorch."""
    return _NoWaiting()  # type: ignore[no-untyped-call]


class _NoBlockingCopies(TorchDispatchMode):
    """Refuses copies between devices that are not asynchronous; `meta` stands for a GPU."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func.overloadpacket is aten._to_copy:
            target = given.get("device")
            moves = target is not None and torch.device(target).type != args[0].device.type
            if moves and not given.get("non_blocking"):
                raise Waited(f"a copy of {tuple(args[0].shape)} to {target}")
        if func.overloadpacket is aten.copy_ and args[0].device.type != args[1].device.type:
            blocks = len(args) < 3 or not args[2]
            if blocks and not given.get("non_blocking") and args[1].dim():
                raise Waited(f"a copy of {tuple(args[1].shape)} to {args[0].device}")
        return func(*args, **given)


class _NoTensorsFromTheHost(TorchFunctionMode):
    """Refuses `torch.tensor` and its like on a device: they copy from the host, and wait."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            here = args[0].device if func is Tensor.new_tensor else "cpu"
            if torch.device(given.get("device") or here).type != "cpu":
                raise Waited(f"{func.__name__} of values of the host")
        return func(*args, **given)


@contextmanager
def no_blocking_copies() -> Iterator[None]:
    """Refuse inside what would copy between host and device and wait; the device is `meta`."""
    modes: Any = (_NoTensorsFromTheHost(), _NoBlockingCopies())  # type: ignore[no-untyped-call]
    with modes[0], modes[1]:
        yield
