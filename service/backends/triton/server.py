"""One Triton server, shared by the versions that this process serves with it.

    version --open--> view rendered --> models loaded --> infer ... --release--> unloaded
                                                            |
                       arrays over the network, or in shared memory on the same host

This module does not import Triton's client: it is given a `Client`, which
`service.backends.triton.client` implements.
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
from service.backends.triton.shared_memory import Region, RegionPool, layout
from service.errors import BackendUnavailable, NotReady
from service.settings import TritonSettings

logger = logging.getLogger("g2d.triton")

_POLL_S = 0.25
_UNLOAD_S = 10.0


class ConnectionLost(BackendUnavailable):
    """The connection was lost or Triton was restarted, so its models must be checked again."""


@dataclass(frozen=True)
class Call:
    """One inference.

    Attributes:
        model, version: name and version of the Triton model.
        inputs: arrays by name.
        outputs: shapes of the requested float32 outputs, by name.
    """

    model: str
    version: int
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, tuple[int, ...]]

    def offsets(self) -> tuple[dict[str, int], dict[str, int], int]:
        """Return the offsets of inputs and outputs in shared memory, and their total size."""
        sizes = [value.nbytes for value in self.inputs.values()]
        sizes += [float32_bytes(shape) for shape in self.outputs.values()]
        offsets, size = layout(sizes)
        inputs = dict(zip(self.inputs, offsets, strict=False))
        outputs = dict(zip(self.outputs, offsets[len(inputs) :], strict=True))
        return inputs, outputs, size


def float32_bytes(shape: tuple[int, ...]) -> int:
    """Return the size in bytes of a float32 array."""
    size = 4
    for axis in shape:
        size *= axis
    return size


class Client(Protocol):
    """Calls to Triton; safe to make from threads."""

    def infer(self, call: Call, region: Region | None) -> dict[str, FloatArray]:
        """Run one call.

        Raises:
            ConnectionLost: no connection, or Triton does not know the model or the region.
            BackendUnavailable: no answer in time, or too many requests.
            BackendFailure: Triton refused or failed, or its answer is not as requested.
        """

    def load(self, model: str) -> None:
        """Load or reload a Triton model; does nothing if Triton does not allow it.

        Raises:
            NotReady: Triton's repository does not hold the model (yet).
            InvalidVersion: Triton cannot load the model.
            BackendUnavailable: Triton was not reached, or did not load it in time.
        """

    def unload(self, model: str) -> None:
        """Begin to unload a Triton model; does nothing if Triton does not allow it."""

    def is_ready(self, model: str, version: int) -> bool:
        """Return whether one version of a Triton model is ready."""

    def register(self, region: Region) -> None:
        """Make Triton map a region of shared memory."""

    def unregister(self, region: Region) -> None:
        """Make Triton unmap a region of shared memory."""

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""


Render = Callable[[str, Collection[int]], None]
"""Renders the view of a model, with these versions in it beside those of its aliases."""


class TritonServer:
    """The models that this process has loaded in one Triton. Safe to call from threads.

    Args:
        client: makes the calls.
        settings: whether to use shared memory and to unload, and how long loading waits.
        render: keeps Triton's model repository up to date, if this process is to do so.
    """

    def __init__(
        self, client: Client, settings: TritonSettings, render: Render | None = None
    ) -> None:
        self._client = client
        self._settings = settings
        self._render = render
        self._regions: RegionPool | None = None
        if settings.shared_memory:
            self._regions = RegionPool(client.register, self._unregister)
        self._claims: dict[str, Counter[int]] = {}
        self._lock = threading.Lock()

    def open(self, name: str, number: int, models: Collection[str]) -> None:
        """Load the Triton models of one of our versions, and wait until they are ready.

        Args:
            name, number: our version.
            models: its Triton models, the ensemble last.

        Raises:
            BackendUnavailable: Triton was not reached.
            NotReady: Triton does not have the models (yet).
            InvalidVersion: Triton cannot load the models, or they cannot be rendered.
        """
        with self._lock:
            self._claims.setdefault(name, Counter())[number] += 1
        try:
            self._render_view(name)
            self._load(number, models)
        except BaseException:
            self.release(name, number, models)
            raise

    def restore(self, number: int, models: Collection[str]) -> None:
        """Load the models, possibly again into a Triton that was restarted; one attempt.

        The ensemble goes first, because Triton then loads its graphs in parallel.
        """
        *graphs, ensemble = models
        for model in (ensemble, *graphs):
            self._client.load(model)
            if not self._client.is_ready(model, number):
                raise NotReady(f"Triton has no version {number} of {model}")

    def infer(self, call: Call) -> dict[str, FloatArray]:
        """Run one call; see `Client.infer`."""
        if self._regions is None:
            return self._client.infer(call, None)
        with self._regions.borrow(call.offsets()[2]) as region:
            return self._client.infer(call, region)

    def lost(self) -> None:
        """Expect that Triton was restarted, and register shared memory again."""
        if self._regions is not None:
            self._regions.forget()

    def release(self, name: str, number: int, models: Collection[str]) -> None:
        """Unload the models that no version needs any more; errors of Triton are logged."""
        with self._lock:
            claims = self._claims[name]
            claims -= Counter({number: 1})
            shared, last = bool(claims), not any(self._claims.values())
        if self._settings.unload and number not in claims:
            try:
                self._unload(name, number, models, shared)
            except (RadiographError, OSError) as error:
                logger.warning("%s/%d was not unloaded from Triton: %s", name, number, error)
        if last:
            if self._regions is not None:
                self._regions.close()
            self._client.close()

    def _render_view(self, name: str) -> None:
        if self._render is not None:
            with self._lock:
                self._render(name, frozenset(self._claims[name]))

    def _load(self, number: int, models: Collection[str]) -> None:
        """Try to load the models until it works or the time to wait is over."""
        end = time.monotonic() + self._settings.wait_s
        pause = threading.Event()
        while True:
            try:
                return self.restore(number, models)
            except (ConnectionLost, NotReady):
                if time.monotonic() >= end:
                    raise
            pause.wait(_POLL_S)

    def _unload(self, name: str, number: int, models: Collection[str], shared: bool) -> None:
        """Unload the ensemble, then its graphs; a graph that other versions use is reloaded."""
        if shared:
            self._render_view(name)
        *graphs, ensemble = models
        self._client.unload(ensemble)
        for model in graphs:
            if shared:
                self._client.load(model)
            else:
                self._client.unload(model)
        if not shared:
            self._wait_until_unloaded(number, models)

    def _wait_until_unloaded(self, number: int, models: Collection[str]) -> None:
        """Wait for Triton, which unloads in the background."""
        end, pause = time.monotonic() + _UNLOAD_S, threading.Event()
        for model in models:
            while self._client.is_ready(model, number) and time.monotonic() < end:
                pause.wait(_POLL_S)

    def _unregister(self, region: Region) -> None:
        with contextlib.suppress(RadiographError):
            self._client.unregister(region)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `count` items; one slice if size is 0."""
    step = size or max(count, 1)
    return (slice(start, start + step) for start in range(0, count, step))
