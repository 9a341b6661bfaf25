"""Client of Triton over gRPC or HTTP.

    Call -> TritonClient.infer(model, version, request id) -> arrays, checked

One gRPC client serves all threads. An HTTP client is for a single thread, so each thread has its
own, whose connection is kept open. Together with `client_errors`, this is the only importer of
`tritonclient` in the service.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent.ssl
import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import np_to_triton_dtype

from radiograph.errors import RadiographError
from service.backends.base import FloatArray, request_ids
from service.backends.triton.client_errors import LoadingNotAllowed, translate, translate_load
from service.backends.triton.server import Call, float32_bytes
from service.backends.triton.shared_memory import Region
from service.errors import BackendFailure, InvalidSettings
from service.settings import TritonSettings

_MAX_REQUEST_ID = 512
_MAX_MESSAGE = 2**31 - 1
_GRPC_OPTIONS = [
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    # A Triton that was restarted is noticed within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A host that disappeared is noticed. While it sends nothing, as during loading, Triton closes
    # the connection of a client that sends more than one keepalive ping in five minutes.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


class TritonClient:
    """Triton over gRPC or HTTP; connects with the first call. Safe to call from threads.

    Args:
        settings: address, protocol, time limits and TLS.
    """

    def __init__(self, settings: TritonSettings) -> None:
        """Check the settings for TLS.

        Raises:
            InvalidSettings: a certificate cannot be read, or lacks its key.
        """
        _check_tls(settings)
        self._settings = settings
        self._grpc = settings.protocol == "grpc"
        self._module = tritonclient.grpc if self._grpc else tritonclient.http
        self._client: Any = None
        self._local = threading.local()
        self._lock = threading.Lock()

    def infer(self, call: Call, region: Region | None) -> dict[str, FloatArray]:
        """Run one call; see `Client.infer`."""
        inputs, outputs = self._tensors(call, region)
        arguments = {
            "inputs": inputs,
            "outputs": outputs,
            "model_version": str(call.version),
            "request_id": ",".join(request_ids())[:_MAX_REQUEST_ID],
        }
        with self._calling(self._settings.timeout_s) as (client, deadline):
            result = client.infer(call.model, **arguments, **deadline)
            return _read(result, call, region)

    def load(self, model: str) -> None:
        """Load a Triton model; see `Client.load`."""
        try:
            with self._calling(self._settings.load_timeout_s) as (client, deadline):
                client.load_model(model, **deadline)
        except LoadingNotAllowed:
            return
        except BackendFailure as error:
            raise translate_load(model, error) from error

    def unload(self, model: str) -> None:
        """Begin to unload a Triton model; see `Client.unload`."""
        with (
            contextlib.suppress(LoadingNotAllowed),
            self._calling(self._settings.timeout_s) as (client, deadline),
        ):
            client.unload_model(model, **deadline)

    def is_ready(self, model: str, version: int) -> bool:
        """Return whether one version of a Triton model is ready."""
        with self._calling(self._settings.timeout_s) as (client, deadline):
            return bool(client.is_model_ready(model, str(version), **deadline))

    def register(self, region: Region) -> None:
        """Make Triton map a region of shared memory."""
        with self._calling(self._settings.timeout_s) as (client, deadline):
            client.unregister_system_shared_memory(region.name, **deadline)
            client.register_system_shared_memory(
                region.name, f"/{region.name}", region.size, **deadline
            )

    def unregister(self, region: Region) -> None:
        """Make Triton unmap a region of shared memory."""
        with self._calling(self._settings.timeout_s) as (client, deadline):
            client.unregister_system_shared_memory(region.name, **deadline)

    def close(self) -> None:
        """Close the gRPC connection; HTTP clients of other threads go with their next call."""
        with self._lock:
            client, self._client = self._client, None
            self._local = threading.local()
        if client is not None:
            client.close()

    @contextlib.contextmanager
    def _calling(self, timeout_s: float) -> Iterator[tuple[Any, dict[str, float]]]:
        """Provide a client and the arguments that limit its call; translate its errors."""
        try:
            if self._grpc:
                yield self._grpc_client(), {"client_timeout": timeout_s}
            else:
                yield self._http_client(timeout_s), {}
        except RadiographError:
            raise
        except Exception as error:
            raise translate(error) from error

    def _grpc_client(self) -> Any:
        with self._lock:
            if self._client is None:
                settings = self._settings
                self._client = tritonclient.grpc.InferenceServerClient(
                    settings.url,
                    ssl=settings.tls,
                    root_certificates=_text(settings.ca_file),
                    private_key=_text(settings.key_file),
                    certificate_chain=_text(settings.certificate_file),
                    channel_args=_GRPC_OPTIONS,
                )
            return self._client

    def _http_client(self, timeout_s: float) -> Any:
        """Return this thread's client for calls with this time limit."""
        clients: dict[float, Any] = self._local.__dict__.setdefault("clients", {})
        if timeout_s not in clients:
            settings = self._settings
            clients[timeout_s] = tritonclient.http.InferenceServerClient(
                settings.url,
                connection_timeout=min(timeout_s, settings.timeout_s),
                network_timeout=timeout_s,
                ssl=settings.tls,
                ssl_context_factory=(lambda: _context(settings)) if settings.tls else None,
            )
        return clients[timeout_s]

    def _tensors(self, call: Call, region: Region | None) -> tuple[list[Any], list[Any]]:
        """Return inputs and requested outputs, written to shared memory if there is a region."""
        binary = {} if self._grpc else {"binary_data": True}
        inputs, outputs = [], []
        input_offsets, output_offsets, _ = call.offsets() if region is not None else ({}, {}, 0)
        for name, value in call.inputs.items():
            array = np.ascontiguousarray(value)
            kind = np_to_triton_dtype(array.dtype)
            tensor = self._module.InferInput(name, array.shape, kind)
            if region is None:
                tensor.set_data_from_numpy(array, **binary)
            else:
                region.write(input_offsets[name], array)
                tensor.set_shared_memory(region.name, array.nbytes, input_offsets[name])
            inputs.append(tensor)
        for name, shape in call.outputs.items():
            requested = self._module.InferRequestedOutput(name, **binary)
            if region is not None:
                size = float32_bytes(shape)
                requested.set_shared_memory(region.name, size, output_offsets[name])
            outputs.append(requested)
        return inputs, outputs


def _read(result: Any, call: Call, region: Region | None) -> dict[str, FloatArray]:
    """Return the requested outputs, each with its type, shape and values checked."""
    offsets = call.offsets()[1] if region is not None else {}
    return {
        name: _checked(result, name, shape, region, offsets.get(name, 0))
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


def _check_tls(settings: TritonSettings) -> None:
    files = (settings.ca_file, settings.certificate_file, settings.key_file)
    if not settings.tls:
        if any(files):
            raise InvalidSettings("files for TLS are given, but G2D_TRITON_TLS is off")
        return
    if (settings.certificate_file is None) != (settings.key_file is None):
        raise InvalidSettings("a certificate for Triton needs its key, and a key its certificate")
    for file in files:
        if file is not None and not file.is_file():
            raise InvalidSettings(f"there is no file {file}")


def _context(settings: TritonSettings) -> ssl.SSLContext:
    context: ssl.SSLContext = gevent.ssl.create_default_context(cafile=_text(settings.ca_file))
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
