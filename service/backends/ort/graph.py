"""Graphs in ONNX Runtime: named arrays in, named arrays out.

file, digest --GraphCache (shared by digest)--> Graph --> arrays
                              '--> Trunk: one Graph for each stage, run as far as requested
"""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from service.backends.base import FloatArray, alone
from service.backends.ort.graph_stages import cut_into_stages, needed_stages
from service.backends.ort.session import (
    OrtOptions,
    Session,
    active_providers,
    check_provider,
    open_session,
)
from service.errors import BackendFailure


class RunCounter:
    """Count of the graphs that run at this moment, to tell whether one has the machine alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def run(self) -> Iterator[bool]:
        """Count one run; yields whether other graphs or other requests are beside it."""
        with self._lock:
            beside = self._count > 0 or not alone()
            self._count += 1
        try:
            yield beside
        finally:
            with self._lock:
                self._count -= 1


class DeviceArray:
    """An array on the device that computed it, copied to the host when its values are read.

    Other graphs read it on the device, without a copy.
    """

    def __init__(self, value: Any) -> None:
        """Hold an `onnxruntime.OrtValue`."""
        self.value = value
        self._fetched: NDArray[Any] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the array on the host."""
        fetched: NDArray[Any] = self.value.numpy() if self._fetched is None else self._fetched
        self._fetched = fetched
        return np.array(fetched, dtype=dtype, copy=copy)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return some of its rows, on the host."""
        rows: NDArray[Any] = np.asarray(self)[key]
        return rows


class Graph:
    """One ONNX graph.

    With the option `concurrent` it has a second session of one thread. The threads of one graph
    wait for each other at every operator, which pays for a request that is alone. Beside other
    graphs, or while files are decoded, each graph does best in one thread (on 2 cores, two graphs
    of one thread compute 32 images a second, two graphs of two threads 29).
    """

    def __init__(self, model: Path | bytes, options: OrtOptions, runs: RunCounter) -> None:
        """Build the sessions of a file, or of the bytes of one.

        Raises:
            InvalidVersion: this runtime cannot build the graph.
            ProviderUnavailable: another provider than the requested one computes.
        """
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = self._narrow_session = open_session(source, options.runtime)
            if options.concurrent and options.runtime.threads > 1:
                one_thread = options.single_threaded().runtime
                self._narrow_session = open_session(source, one_thread)
        except Exception as error:
            name = model.name if isinstance(model, Path) else "a stage of the trunk"
            raise InvalidVersion(f"{name}: not a usable graph") from error
        self._runs = runs
        self._options = options
        self.providers = active_providers(options.runtime.provider, self._session)
        self.inputs = frozenset(item.name for item in self._session.get_inputs())
        self.outputs = {item.name: item.type for item in self._session.get_outputs()}

    def run(self, feeds: Mapping[str, Any], *, stay: bool = False) -> dict[str, Any]:
        """Run the graph once.

        Args:
            feeds: inputs by name, on the host or as `DeviceArray`.
            stay: leave the outputs on the device, as `DeviceArray`, with the option `on_device`.

        Raises:
            BackendFailure: the runtime refused the inputs or failed.
        """
        try:
            with self._runs.run() as beside:
                session = self._narrow_session if beside else self._session
                if self._options.on_device:
                    return self._run_bound(session, feeds, stay=stay)
                names = list(self.outputs)
                return dict(zip(names, session.run(names, feeds), strict=True))
        except Exception as error:
            raise BackendFailure(f"a graph failed: {type(error).__name__}") from error

    def _run_bound(
        self, session: Session, feeds: Mapping[str, Any], *, stay: bool
    ) -> dict[str, Any]:
        """Run with bound inputs and outputs, so that features never leave the device."""
        binding = session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, DeviceArray):
                binding.bind_ortvalue_input(name, value.value)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in self.outputs:
            if stay:
                binding.bind_output(name, *self._options.device)
            else:
                binding.bind_output(name)
        session.run_with_iobinding(binding)
        values = binding.get_outputs()
        found = (DeviceArray(value) if stay else value.numpy() for value in values)
        return dict(zip(self.outputs, found, strict=True))


class Trunk:
    """The trunk as a graph for each stage, or as one graph where it cannot be cut."""

    def __init__(self, path: Path, options: OrtOptions, runs: RunCounter) -> None:
        """Cut the trunk and build the sessions of its stages.

        Raises:
            InvalidVersion: this runtime cannot build the graph.
            ProviderUnavailable: another provider than the requested one computes.
        """
        models = cut_into_stages(path) or (path,)
        self._stages = [Graph(model, options, runs) for model in models]
        self._names = [(stage.inputs, stage.outputs) for stage in self._stages]
        self.providers = self._stages[0].providers
        made = set().union(*(stage.outputs for stage in self._stages))
        self.inputs = frozenset().union(*(stage.inputs for stage in self._stages)) - made
        self.outputs = {n: kind for s in self._stages for n, kind in s.outputs.items()}

    def run(self, image: FloatArray, requested: Collection[str]) -> dict[str, Any]:
        """Return the requested outputs, and those that cost nothing beside them."""
        values: dict[str, Any] = {"image": image}
        for index in needed_stages(requested, self._names):
            stage = self._stages[index]
            values |= stage.run({name: values[name] for name in stage.inputs}, stay=True)
        return {name: value for name, value in values.items() if name in self.outputs}


class GraphCache:
    """Graphs by the digest of their file, so that versions with a file in common share memory.

    A graph is freed when no backend holds it any more.
    """

    def __init__(self, options: OrtOptions) -> None:
        """Check that the provider starts.

        Raises:
            ProviderUnavailable: the requested hardware does not compute here.
        """
        check_provider(options.runtime)
        self.options = options
        self.runs = RunCounter()
        self._graphs: WeakValueDictionary[str, Graph] = WeakValueDictionary()
        self._trunks: WeakValueDictionary[str, Trunk] = WeakValueDictionary()
        self._lock = threading.Lock()

    def open(self, path: Path, digest: str) -> Graph:
        """Return the graph of a file, built if no backend holds it.

        Args:
            path: the file.
            digest: digest of the file, by which graphs are shared.
        """
        with self._lock:
            graph = self._graphs.get(digest)
            if graph is None:  # a graph other than the trunk is too fast to need a second session
                graph = Graph(path, replace(self.options, concurrent=False), self.runs)
                self._graphs[digest] = graph
            return graph

    def open_trunk(self, path: Path, digest: str) -> Trunk:
        """Return the trunk of a file, built if no backend holds it."""
        with self._lock:
            trunk = self._trunks.get(digest)
            if trunk is None:
                trunk = self._trunks[digest] = Trunk(path, self.options, self.runs)
            return trunk
