"""A mode in which an operation that reads a value from the device is an error."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
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
