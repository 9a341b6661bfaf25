"""Triton's client: calls over gRPC or HTTP, and what its errors mean to us.

The only importer of `tritonclient` in the service.

    Settings --factory--> TritonServer(TritonWire) --> TritonBackend, one for each version
    TritonWire: Call -> infer(model, version, request id) -> arrays, checked

The gRPC client is one for all threads. The HTTP client is for a single thread, so each thread
has its own, with its connection kept open.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent.ssl
import numpy as np
import tritonclient.grpc
import tritonclient.http
from geventhttpclient.response import HTTPConnectionClosed
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from radiograph.errors import InvalidVersion, RadiographError
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.base import Backend, FloatArray, request_ids
from service.backends.triton import repository_view
from service.backends.triton.backend import TritonBackend
from service.backends.triton.server import Call, ConnectionLost, Render, TritonServer, float32_bytes
from service.backends.triton.shared_memory import Region
from service.errors import (
    BackendFailure,
    BackendUnavailable,
    InvalidSettings,
    NotReady,
    ServiceError,
)
from service.settings import Settings

_MAX_REQUEST_ID = 512
_MAX_MESSAGE = 2**31 - 1
_GRPC_OPTIONS = [
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    # A Triton that came back is seen within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A host that vanished without a word is noticed. Triton cuts off whoever asks for a sign of
    # life more than once in five minutes while it sends nothing, as it does while it loads.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


@dataclass(frozen=True)
class Tls:
    """How the connection is encrypted; files are PEM.

    Attributes:
        ca: who signed Triton's certificate; None for the certificates of the system.
        certificate, key: of this service, where Triton wants to know it.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Address:
    """Where Triton listens and how it is spoken to."""

    url: str
    protocol: str = "grpc"
    timeout_s: float = 10.0
    load_timeout_s: float = 300.0
    tls: Tls | None = None


def factory(settings: Settings) -> Callable[[Path, ModelManifest], Backend]:
    """What builds backends in the Triton of the settings. Connects when the first is built.

    Raises:
        InvalidSettings: a certificate cannot be read, or comes without its key.
    """
    wire = TritonWire(
        Address(
            url=settings.triton.url,
            protocol=settings.triton.protocol,
            timeout_s=settings.triton.timeout_s,
            load_timeout_s=settings.triton.load_timeout_s,
            tls=_tls(settings),
        )
    )
    server = TritonServer(
        wire,
        render=_render(settings),
        shared_memory=settings.triton.shared_memory,
        wait_s=settings.triton.wait_s,
        unload=settings.triton.unload,
    )
    return lambda folder, manifest: TritonBackend(folder, manifest, server)


def _tls(settings: Settings) -> Tls | None:
    files = (
        settings.triton.ca_file,
        settings.triton.certificate_file,
        settings.triton.key_file,
    )
    if not settings.triton.tls:
        if any(files):
            raise InvalidSettings("files for TLS are given, but G2D_TRITON_TLS is off")
        return None
    if (files[1] is None) != (files[2] is None):
        raise InvalidSettings("a certificate for Triton needs its key, and a key its certificate")
    for file in files:
        if file is not None and not file.is_file():
            raise InvalidSettings(f"there is no file {file}")
    return Tls(*files)


def _render(settings: Settings) -> Render | None:
    if settings.triton.view is None:
        return None
    repository, out = Repository(settings.models.models_dir), settings.triton.view

    def render(name: str, versions: Collection[int]) -> None:
        repository_view.render(repository, out, name, keep=versions)

    return render


class TritonWire:
    """Triton over gRPC or HTTP. Safe to call from threads.

    Args:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._grpc = address.protocol == "grpc"
        self._module = tritonclient.grpc if self._grpc else tritonclient.http
        self._client: Any = None
        self._local = threading.local()
        self._lock = threading.Lock()

    def infer(self, call: Call, region: Region | None) -> dict[str, FloatArray]:
        """Run one call; see `Wire.infer`."""
        inputs, outputs = self._tensors(call, region)
        given = {
            "inputs": inputs,
            "outputs": outputs,
            "model_version": str(call.version),
            "request_id": ",".join(request_ids())[:_MAX_REQUEST_ID],
        }
        with self._calling(self._address.timeout_s) as (client, deadline):
            result = client.infer(call.model, **given, **deadline)
            return _read(result, call, region)

    def load(self, model: str) -> None:
        """Load a Triton model; see `Wire.load`."""
        try:
            with self._calling(self._address.load_timeout_s) as (client, deadline):
                client.load_model(model, **deadline)
        except _NotAllowed:
            return
        except BackendFailure as error:
            reason = str(error.__cause__)
            if "failed to poll" in reason or "not found in any" in reason:
                raise NotReady(f"Triton's repository does not hold {model}") from error
            first = reason.partition("\n")[0][:300]
            raise InvalidVersion(f"Triton cannot load {model}: {first}") from error

    def unload(self, model: str) -> None:
        """Begin to unload a Triton model; see `Wire.unload`."""
        with (
            contextlib.suppress(_NotAllowed),
            self._calling(self._address.timeout_s) as (client, deadline),
        ):
            client.unload_model(model, **deadline)

    def is_ready(self, model: str, version: int) -> bool:
        """Whether one version of a Triton model answers."""
        with self._calling(self._address.timeout_s) as (client, deadline):
            return bool(client.is_model_ready(model, str(version), **deadline))

    def register(self, region: Region) -> None:
        """Have Triton map shared memory."""
        with self._calling(self._address.timeout_s) as (client, deadline):
            client.unregister_system_shared_memory(region.name, **deadline)
            client.register_system_shared_memory(
                region.name, f"/{region.name}", region.size, **deadline
            )

    def unregister(self, region: Region) -> None:
        """Have Triton let go of shared memory."""
        with self._calling(self._address.timeout_s) as (client, deadline):
            client.unregister_system_shared_memory(region.name, **deadline)

    def close(self) -> None:
        """Let go of connections; those of other threads' HTTP clients with the threads' next."""
        with self._lock:
            client, self._client = self._client, None
            self._local = threading.local()
        if client is not None:
            client.close()

    @contextlib.contextmanager
    def _calling(self, timeout_s: float) -> Iterator[tuple[Any, dict[str, float]]]:
        """A client and the arguments that limit its call; its errors become ours."""
        try:
            if self._grpc:
                yield self._grpc_client(), {"client_timeout": timeout_s}
            else:
                yield self._http_client(timeout_s), {}
        except RadiographError:
            raise
        except Exception as error:
            raise _meaning(error) from error

    def _grpc_client(self) -> Any:
        with self._lock:
            if self._client is None:
                tls = self._address.tls
                files = (tls.ca, tls.key, tls.certificate) if tls else (None, None, None)
                self._client = tritonclient.grpc.InferenceServerClient(
                    self._address.url,
                    ssl=tls is not None,
                    root_certificates=_text(files[0]),
                    private_key=_text(files[1]),
                    certificate_chain=_text(files[2]),
                    channel_args=_GRPC_OPTIONS,
                )
            return self._client

    def _http_client(self, timeout_s: float) -> Any:
        """This thread's client for calls that take so long."""
        clients: dict[float, Any] = self._local.__dict__.setdefault("clients", {})
        if timeout_s not in clients:
            tls = self._address.tls
            clients[timeout_s] = tritonclient.http.InferenceServerClient(
                self._address.url,
                connection_timeout=min(timeout_s, self._address.timeout_s),
                network_timeout=timeout_s,
                ssl=tls is not None,
                ssl_context_factory=(lambda: _context(tls)) if tls else None,
            )
        return clients[timeout_s]

    def _tensors(self, call: Call, region: Region | None) -> tuple[list[Any], list[Any]]:
        """Inputs and outputs as the client wants them, in shared memory where there is a region."""
        binary = {} if self._grpc else {"binary_data": True}
        inputs, outputs = [], []
        places = call.places() if region is not None else ({}, {}, 0)
        for name, value in call.inputs.items():
            array = np.ascontiguousarray(value)
            kind = np_to_triton_dtype(array.dtype)
            tensor = self._module.InferInput(name, array.shape, kind)
            if region is None:
                tensor.set_data_from_numpy(array, **binary)
            else:
                region.write(places[0][name], array)
                tensor.set_shared_memory(region.name, array.nbytes, places[0][name])
            inputs.append(tensor)
        for name, shape in call.outputs.items():
            asked = self._module.InferRequestedOutput(name, **binary)
            if region is not None:
                asked.set_shared_memory(region.name, float32_bytes(shape), places[1][name])
            outputs.append(asked)
        return inputs, outputs


class _NotAllowed(BackendFailure):
    """Triton looks after its models by itself, or has loaded them once and for all."""


def _read(result: Any, call: Call, region: Region | None) -> dict[str, FloatArray]:
    """The outputs that were asked for, and nothing that is not what it must be."""
    places = call.places()[1] if region is not None else {}
    return {
        name: _checked(result, name, shape, region, places.get(name, 0))
        for name, shape in call.outputs.items()
    }


def _checked(
    result: Any, name: str, shape: tuple[int, ...], region: Region | None, offset: int
) -> FloatArray:
    found = result.get_output(name)
    if found is None:
        raise BackendFailure(f"Triton does not give `{name}`")
    kind, given = (
        (found["datatype"], found["shape"])
        if isinstance(found, dict)
        else (found.datatype, found.shape)
    )
    if kind != "FP32" or tuple(given) != shape:
        raise BackendFailure(f"Triton gives `{name}` as {kind} {tuple(given)}, not FP32 {shape}")
    value = result.as_numpy(name) if region is None else region.read(offset, shape)
    if value is None or value.shape != shape or value.dtype != np.float32:
        raise BackendFailure(f"Triton gives `{name}` without its values")
    if not np.isfinite(value).all():
        raise BackendFailure(f"Triton gives `{name}` with values that are not finite")
    array: FloatArray = value
    return array


def _meaning(error: Exception) -> ServiceError:
    """What an error of the client means; its words may hold addresses, so they stay behind it."""
    if isinstance(error, TimeoutError):
        return BackendUnavailable("Triton did not answer in time")
    if isinstance(error, (OSError, HTTPConnectionClosed)):
        return ConnectionLost("Triton cannot be reached")
    if not isinstance(error, InferenceServerException):
        return BackendFailure(f"Triton's answer cannot be read: {type(error).__name__}")
    status = str(error.status() or "").removeprefix("StatusCode.")
    words = str(error.message())
    if "explicit model load / unload is not allowed" in words:
        return _NotAllowed("Triton does not load on demand")
    if "unknown model" in words or "not at ready state" in words:
        return ConnectionLost("Triton does not have the model")
    if "shared memory region" in words and "find" in words:
        return ConnectionLost("Triton does not know the shared memory")
    if status in _LATE or "timeout" in words.lower():
        return BackendUnavailable("Triton did not answer in time")
    if status in _BUSY or "maximum queue size" in words:
        return BackendUnavailable("Triton has too much to do")
    if status in _AWAY:
        return ConnectionLost("Triton cannot be reached")
    return BackendFailure(f"Triton failed: {status or type(error).__name__}")


_LATE = {"DEADLINE_EXCEEDED", "499", "504"}
_BUSY = {"RESOURCE_EXHAUSTED", "429"}
_AWAY = {"UNAVAILABLE", "CANCELLED", "502", "503"}


def _context(tls: Tls) -> ssl.SSLContext:
    context: ssl.SSLContext = gevent.ssl.create_default_context(cafile=_text(tls.ca))
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
