"""OrtBackend: runs a version's graphs in this process with ONNX Runtime.

The only importer of `onnxruntime` in the service.

    manifest --(file, digest)--> Sessions --(shared by digest)--> Graph --> arrays
                                     '--> Trunk: a graph for each stage, run as far as asked

Traps it avoids: thread counts guessed from the host instead of the container; a memory arena
that doubles and never gives back; the CPU taking over silently where a GPU was asked for.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import HeadSpec, ModelManifest
from service.backends.base import GLOBAL_FEATURES, Answers, FloatArray, alone
from service.backends.graph_stages import cut, needed
from service.backends.ort_options import WANTED, OrtOptions, providers
from service.errors import BackendFailure, ProviderUnavailable
from service.settings import Provider, Settings

# The smallest graph there is, to see whether a provider starts: IR version 8, one node
# Identity from `x` to `y`, both float32 of shape 1, opset 13.
_PROBE = (
    b'\x08\x08:6\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x00Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04'
    b"\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


class Running:
    """Whether a graph has the machine to itself: neither graphs nor requests beside it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """Count a run; gives whether there is something beside it."""
        with self._lock:
            beside = self._count > 0 or not alone()
            self._count += 1
        try:
            yield beside
        finally:
            with self._lock:
                self._count -= 1


class DeviceArray:
    """An array on the device that made it, fetched when somebody looks at it.

    Graphs that read it take it where it is.
    """

    def __init__(self, value: Any) -> None:
        """Hold an `onnxruntime.OrtValue`."""
        self.value = value
        self._fetched: NDArray[Any] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The array on the host."""
        fetched: NDArray[Any] = self.value.numpy() if self._fetched is None else self._fetched
        self._fetched = fetched
        return np.array(fetched, dtype=dtype, copy=copy)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Some of its rows, on the host."""
        rows: NDArray[Any] = np.asarray(self)[key]
        return rows


class Graph:
    """One ONNX graph: named arrays in, named arrays out.

    On the CPU it may have two sessions. The threads of one graph wait for each other at every
    operator, which is worth it for a request that is alone; where others run, or are read
    meanwhile, each graph does best in one thread (2 cores: 32 images a second by two graphs of
    one thread, 29 by two of two).
    """

    def __init__(self, model: Path | bytes, options: OrtOptions, running: Running) -> None:
        """Build the session of a file, or of the bytes of one.

        Raises:
            InvalidVersion: it is no graph that this runtime can build.
            ProviderUnavailable: something else than the wanted provider computes.
        """
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = self._beside = _session(source, options)
            if options.narrow and options.threads > 1:
                self._beside = _session(source, replace(options, threads=1))
        except Exception as error:
            name = model.name if isinstance(model, Path) else "a stage of the trunk"
            raise InvalidVersion(f"{name}: not a usable graph") from error
        self._running = running
        self._bound = options.bound
        self._device = ("cpu", 0) if options.provider == "cpu" else ("cuda", options.device_id)
        self.providers = _require(options.provider, self._session.get_providers())
        self.inputs = frozenset(item.name for item in self._session.get_inputs())
        self.outputs = {item.name: item.type for item in self._session.get_outputs()}

    def run(self, feeds: Mapping[str, Any], *, stay: bool = False) -> dict[str, Any]:
        """Run the graph once.

        Args:
            feeds: arrays, on the host or `Resident`.
            stay: leave what comes out on the device: `Resident` where that is another one.

        Raises:
            BackendFailure: the runtime refused the arrays or failed.
        """
        try:
            with self._running.one_more() as beside:
                session = self._beside if beside else self._session
                if self._bound:
                    return self._run_bound(session, feeds, stay=stay)
                names = list(self.outputs)
                return dict(zip(names, session.run(names, feeds), strict=True))
        except Exception as error:
            raise BackendFailure(f"a graph failed: {type(error).__name__}") from error

    def _run_bound(
        self, session: onnxruntime.InferenceSession, feeds: Mapping[str, Any], *, stay: bool
    ) -> dict[str, Any]:
        """Run with inputs and outputs bound, so that features never leave the device."""
        binding = session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, DeviceArray):
                binding.bind_ortvalue_input(name, value.value)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in self.outputs:
            if stay:
                binding.bind_output(name, *self._device)
            else:
                binding.bind_output(name)
        session.run_with_iobinding(binding)
        values = binding.get_outputs()
        found = (DeviceArray(value) if stay else value.numpy() for value in values)
        return dict(zip(self.outputs, found, strict=True))


class Trunk:
    """The trunk as its stages, or whole where it cannot be cut."""

    def __init__(self, path: Path, options: OrtOptions, running: Running) -> None:
        """Cut it and build its sessions.

        Raises:
            InvalidVersion: the file is no graph that this runtime can build.
            ProviderUnavailable: something else than the wanted provider computes.
        """
        self._stages = [Graph(part, options, running) for part in cut(path) or (path,)]
        self._names = [(stage.inputs, stage.outputs) for stage in self._stages]
        self.providers = self._stages[0].providers
        made = set().union(*(stage.outputs for stage in self._stages))
        self.inputs = frozenset().union(*(stage.inputs for stage in self._stages)) - made
        self.outputs = {n: kind for s in self._stages for n, kind in s.outputs.items()}

    def run(self, image: FloatArray, asked: Collection[str]) -> dict[str, Any]:
        """The outputs that are asked for, and those that cost nothing beside them."""
        values: dict[str, Any] = {"image": image}
        for index in needed(asked, self._names):
            stage = self._stages[index]
            values |= stage.run({name: values[name] for name in stage.inputs}, stay=True)
        return {name: value for name, value in values.items() if name in self.outputs}


class Sessions:
    """Graphs by the digest of their file, so that versions that share a file share memory."""

    def __init__(self, options: OrtOptions) -> None:
        """Start the provider once, on the smallest graph.

        Raises:
            ProviderUnavailable: what was asked for does not compute here.
        """
        wanted = WANTED[options.provider]
        if wanted not in onnxruntime.get_available_providers():
            raise ProviderUnavailable(f"this build of ONNX Runtime has no {wanted}")
        _require(options.provider, _session(_PROBE, options).get_providers())
        self.options = options
        self.running = Running()
        self._graphs: WeakValueDictionary[str, Graph] = WeakValueDictionary()
        self._trunks: WeakValueDictionary[str, Trunk] = WeakValueDictionary()
        self._lock = threading.Lock()

    def open(self, path: Path, digest: str) -> Graph:
        """The graph of a file, built if no living backend holds it.

        Args:
            path: the file.
            digest: what graphs are shared by.
        """
        with self._lock:
            graph = self._graphs.get(digest)
            if graph is None:  # one that takes long, and only that, is worth a second session
                graph = Graph(path, replace(self.options, narrow=False), self.running)
                self._graphs[digest] = graph
            return graph

    def open_trunk(self, path: Path, digest: str) -> Trunk:
        """The same for a trunk."""
        with self._lock:
            trunk = self._trunks.get(digest)
            if trunk is None:
                trunk = self._trunks[digest] = Trunk(path, self.options, self.running)
            return trunk


def factory(settings: Settings) -> Callable[[Path, ModelManifest], "OrtBackend"]:
    """What builds backends as the settings say, graphs of equal digest being shared.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
    """
    sessions = Sessions(
        OrtOptions(
            provider=settings.runtime.provider,
            threads=settings.runtime.threads,
            narrow=settings.runtime.provider == "cpu" and settings.batching.workers > 1,
            bound=settings.runtime.provider != "cpu",
            device_id=settings.runtime.device_id,
            tensorrt_cache_dir=settings.runtime.tensorrt_cache_dir,
        )
    )
    return lambda folder, manifest: OrtBackend(folder, manifest, sessions)


class OrtBackend:
    """The graphs of one version, each in its own session.

    Args:
        folder: the version's folder, already verified.
        manifest: what is in it.
        sessions: where graphs of equal digest are shared.
    """

    remote = False

    def __init__(self, folder: Path, manifest: ModelManifest, sessions: Sessions) -> None:
        """Build every session.

        Raises:
            InvalidVersion: a graph cannot be built or does not fit the manifest.
            ProviderUnavailable: something else than the wanted provider computes.
        """

        def graph(file: str) -> Graph:
            return sessions.open(folder / file, manifest.files[file])

        self._manifest = manifest
        file = manifest.trunk.file
        self._trunk = sessions.open_trunk(folder / file, manifest.files[file])
        _check("trunk", self._trunk, {"image"}, set(manifest.trunk.outputs))
        self._text: Graph | None = None
        if manifest.text is not None:
            self._text = graph(manifest.text.file)
            _check("text", self._text, {"input_ids", "attention_mask"}, {"phrase_features"})
        self._heads = {name: graph(head.file) for name, head in manifest.heads.items()}
        for name, head in manifest.heads.items():
            _check_head(name, head, self._heads[name])

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes the trunk, in order of preference."""
        return self._trunk.providers

    def trunk(
        self, image: FloatArray, asked: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """B x 1 x size x size -> the trunk's outputs by name, batch axis first."""
        names = self._manifest.trunk.outputs
        values = self._trunk.run(image, names if asked is None else asked)
        return {name: values[name] for name in names if name in values}

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Token ids and mask, both P x T -> phrase features, P x D."""
        if self._text is None:
            raise BackendFailure("the version has no text side")
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask}
        features: FloatArray = self._text.run(feeds)["phrase_features"]
        return features

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """One head's raw outputs from the inputs it names."""
        return self._heads[name].run(inputs)

    def answers(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> Answers:
        """The trunk once, as far as the heads need it, then each head on what it reads."""
        read = {item for name in heads for item in self._manifest.heads[name].inputs}
        features = self.trunk(image, read | {GLOBAL_FEATURES})
        given = (
            features
            if phrase_features is None
            else {**features, "phrase_features": phrase_features}
        )
        outputs = {}
        for name in heads:
            inputs = self._manifest.heads[name].inputs
            if missing := sorted(set(inputs) - set(given)):
                raise BackendFailure(f"head {name} reads {missing}")
            outputs[name] = self.head(name, {item: given[item] for item in inputs})
        return Answers(features, outputs)

    def close(self) -> None:
        """Let go of the sessions; one that no other version holds is freed."""
        self._heads.clear()
        self._text = None
        del self._trunk


def _check_head(name: str, head: HeadSpec, graph: Graph) -> None:
    _check(f"head {name}", graph, set(head.inputs), set(head.outputs))


def _check(name: str, graph: Graph | Trunk, inputs: set[str], outputs: set[str]) -> None:
    """Refuse a graph that reads or gives something else than the manifest says."""
    if graph.inputs != inputs:
        raise InvalidVersion(f"{name} reads {sorted(graph.inputs)}, not {sorted(inputs)}")
    if missing := sorted(outputs - set(graph.outputs)):
        raise InvalidVersion(f"{name} does not give {missing}")
    if any(graph.outputs[output] != "tensor(float)" for output in outputs):
        raise InvalidVersion(f"{name} does not give float32")


def _require(provider: Provider, active: Sequence[str]) -> tuple[str, ...]:
    """`get_available_providers` also lists what cannot start, so ask the session itself."""
    wanted = WANTED[provider]
    if not active or active[0] != wanted:
        raise ProviderUnavailable(f"{wanted} was asked for, but the session runs on {active}")
    return tuple(active)


def _session(model: str | bytes, options: OrtOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model, _session_options(options), providers=providers(options)
    )


def _session_options(options: OrtOptions) -> onnxruntime.SessionOptions:
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = options.threads
    session.inter_op_num_threads = 1
    session.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # The arena would keep the memory of the largest batch for every session, and a service that
    # swaps versions would grow (609 MB when ready against 315, 2,000 requests 896 against 457);
    # without it a run has its pages zeroed anew, about 2.5 ms in 38. Patterns keep yet more.
    session.enable_cpu_mem_arena = False
    session.enable_mem_pattern = False
    # Threads that spin between two operators starve the event loop on a small machine.
    session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session.log_severity_level = 3
    return session
