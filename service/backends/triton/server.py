"""One Triton, shared by the versions that this process serves with it.

    version --open--> view rendered --> models loaded --> infer ... --release--> unloaded
                                                            |
                                     arrays by wire, or in shared memory on the same host

Nothing here imports Triton's client: a `Wire` is handed in (`service.backends.triton.client`).
"""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from radiograph.errors import RadiographError
from service.backends.base import FloatArray
from service.backends.triton.shared_memory import Region, Regions, layout
from service.errors import BackendUnavailable, NotReady

logger = logging.getLogger("g2d.triton")

_LOOK_S = 0.25
_UNLOAD_S = 10.0


class ConnectionLost(BackendUnavailable):
    """No connection, or not the Triton that it was: what comes back has to be looked at anew."""


@dataclass(frozen=True)
class Call:
    """One inference.

    Attributes:
        model, version: of the Triton model.
        inputs: arrays by name.
        outputs: the float32 arrays that are asked for, by name, and the shapes they must have.
    """

    model: str
    version: int
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, tuple[int, ...]]

    def places(self) -> tuple[dict[str, int], dict[str, int], int]:
        """Offsets of inputs and of outputs in shared memory, and the bytes that all take."""
        sizes = [value.nbytes for value in self.inputs.values()]
        sizes += [float32_bytes(shape) for shape in self.outputs.values()]
        offsets, size = layout(sizes)
        inputs = dict(zip(self.inputs, offsets, strict=False))
        outputs = dict(zip(self.outputs, offsets[len(inputs) :], strict=True))
        return inputs, outputs, size


def float32_bytes(shape: tuple[int, ...]) -> int:
    """Bytes of an array of float32."""
    size = 4
    for axis in shape:
        size *= axis
    return size


class Wire(Protocol):
    """How Triton is spoken to; safe to call from threads."""

    def infer(self, call: Call, region: Region | None) -> dict[str, FloatArray]:
        """Run one call.

        Raises:
            Lost: no connection, or Triton does not know the model or the region.
            BackendUnavailable: no answer in time, or too much to do.
            BackendFailure: refused, failed, or answered with something else than was asked for.
        """

    def load(self, model: str) -> None:
        """Load a Triton model, or what has changed of it; nothing where clients may not.

        Raises:
            NotReady: Triton's repository does not hold it (yet).
            InvalidVersion: Triton cannot load it.
            BackendUnavailable: not reached, or not done in time.
        """

    def unload(self, model: str) -> None:
        """Begin to unload a Triton model; nothing where clients may not."""

    def is_ready(self, model: str, version: int) -> bool:
        """Whether one version of a Triton model answers."""

    def register(self, region: Region) -> None:
        """Have Triton map shared memory."""

    def unregister(self, region: Region) -> None:
        """Have Triton let go of shared memory."""

    def close(self) -> None:
        """Let go of connections; the next call opens them again."""


Render = Callable[[str, Collection[int]], None]
"""Renders the view of a model with these versions in it, whatever the aliases are."""


class TritonServer:
    """What this process has loaded in one Triton. Safe to call from threads.

    Args:
        wire: how it is spoken to.
        render: keeps Triton's repository in step, where that is this process's task.
        shared_memory: hand arrays over through shared memory.
        wait_s: how long loading waits for a Triton, or a model in it, that is not there yet.
        unload: whether a version that is closed is unloaded; not where others use it, too.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        render: Render | None = None,
        shared_memory: bool = False,
        wait_s: float = 0.0,
        unload: bool = True,
    ) -> None:
        self._wire = wire
        self._render = render
        self._wait_s = wait_s
        self._unload = unload
        self._regions = Regions(wire.register, self._unregister) if shared_memory else None
        self._claims: dict[str, Counter[int]] = {}
        self._lock = threading.Lock()

    def open(self, name: str, number: int, models: Collection[str]) -> None:
        """Load the Triton models of one of our versions, and wait until they answer.

        Args:
            name, number: our version.
            models: its Triton models, each after those that it is made of.

        Raises:
            BackendUnavailable: Triton is not reached.
            NotReady: it does not have them (yet).
            InvalidVersion: it cannot load them, or they cannot be rendered.
        """
        with self._lock:
            self._claims.setdefault(name, Counter())[number] += 1
        try:
            self._rendered(name)
            self._load(number, models)
        except BaseException:
            self.release(name, number, models)
            raise

    def restore(self, number: int, models: Collection[str]) -> None:
        """Load the models, or load them once more into a Triton that may be another; one attempt.

        The ensemble goes first: Triton loads what it is made of side by side.
        """
        *graphs, whole = models
        for model in (whole, *graphs):
            self._wire.load(model)
            if not self._wire.is_ready(model, number):
                raise NotReady(f"Triton has no version {number} of {model}")

    def infer(self, call: Call) -> dict[str, FloatArray]:
        """Run one call; see `Wire.infer`."""
        if self._regions is None:
            return self._wire.infer(call, None)
        with self._regions.borrow(call.places()[2]) as region:
            return self._wire.infer(call, region)

    def lost(self) -> None:
        """Triton may have started anew."""
        if self._regions is not None:
            self._regions.forget()

    def release(self, name: str, number: int, models: Collection[str]) -> None:
        """Unload what no version of this process needs any more. Raises nothing of Triton's."""
        with self._lock:
            claims = self._claims[name]
            claims -= Counter({number: 1})
            shared, last = bool(claims), not any(self._claims.values())
        if self._unload and number not in claims:
            try:
                self._withdraw(name, number, models, shared)
            except (RadiographError, OSError) as error:
                logger.warning("%s/%d was not unloaded from Triton: %s", name, number, error)
        if last:
            if self._regions is not None:
                self._regions.close()
            self._wire.close()

    def _rendered(self, name: str) -> None:
        if self._render is not None:
            with self._lock:
                self._render(name, frozenset(self._claims[name]))

    def _load(self, number: int, models: Collection[str]) -> None:
        """Try until it works or the time for waiting is over."""
        end = time.monotonic() + self._wait_s
        pause = threading.Event()
        while True:
            try:
                return self.restore(number, models)
            except (ConnectionLost, NotReady):
                if time.monotonic() >= end:
                    raise
            pause.wait(_LOOK_S)

    def _withdraw(self, name: str, number: int, models: Collection[str], shared: bool) -> None:
        """Unload from the ensemble down; graphs that other versions use are loaded without it."""
        if shared:
            self._rendered(name)
        *graphs, whole = models
        self._wire.unload(whole)
        for model in graphs:
            if shared:
                self._wire.load(model)
            else:
                self._wire.unload(model)
        if not shared:
            self._wait_until_gone(number, models)

    def _wait_until_gone(self, number: int, models: Collection[str]) -> None:
        """Triton unloads in its own time."""
        end, pause = time.monotonic() + _UNLOAD_S, threading.Event()
        for model in models:
            while self._wire.is_ready(model, number) and time.monotonic() < end:
                pause.wait(_LOOK_S)

    def _unregister(self, region: Region) -> None:
        with contextlib.suppress(RadiographError):
            self._wire.unregister(region)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` items; one slice where size is 0."""
    step = size or max(count, 1)
    return (slice(start, start + step) for start in range(0, count, step))
