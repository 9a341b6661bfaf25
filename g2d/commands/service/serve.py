"""`g2d serve`: start the service in this process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from service.api.server.connections import Connections
    from service.settings import Settings

_CERTIFICATE_INTERVAL_S = 1.0


def serve(
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the model repository.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    provider: Annotated[
        Literal["cpu", "cuda", "tensorrt"] | None,
        typer.Option(help="Hardware that computes. It is an error if it is not available."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Number of threads for one graph. Default: all available CPUs."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of batches that are computed at the same time.")
    ] = None,
    keys_file: Annotated[
        Path | None,
        typer.Option(help="File of the API keys of clients, from `g2d keys create`."),
    ] = None,
) -> None:
    """Start the HTTP service.

    \b
    g2d serve
    g2d serve --port 9000 --provider cuda
    curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/segment

    A request holds one radiograph and is answered with JSON or an overlay. The page at / lets you
    try a radiograph in the browser, /docs describes the interface, and /health/ready tells when
    the service is ready. Other hosts are served only with authentication, or on request.

    Every setting has an environment variable, such as G2D_PORT or G2D_MODELS_DIR; they are listed
    in docs/operations.md. An option takes precedence over its variable.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.observability import logs
    from service.settings import Settings

    logs.configure("info")
    settings = Settings.from_environment().changed(
        models_dir=models_dir,
        host=host,
        port=port,
        provider=provider,
        threads=threads,
        workers=workers,
        keys_file=keys_file,
    )
    logs.configure(settings.server.log_level)
    _run(settings)


def _run(settings: "Settings") -> None:
    """Serve until the process is told to stop."""
    import gc
    import os

    from service import malloc
    from service.api.app import create_app
    from service.api.server import listening
    from service.api.server.forwarding import ForwardedHeaders
    from service.api.server.protocol import protocol_class
    from service.auth.access import check_exposure
    from service.observability.tracing import tracing_setup

    check_exposure(settings)
    malloc.share_arenas()
    sys.setswitchinterval(0.001)  # threads that write answers yield to the event loop sooner
    app = create_app(settings, tracing=tracing_setup.from_environment())
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    forwarded = ForwardedHeaders(app, settings.web.root_path, proxies)
    # The modules and the application live as long as the process. Without this, each full
    # collection would visit their 120,000 objects while the event loop stands still.
    gc.collect()
    gc.freeze()
    protocol = protocol_class(settings, app.state.observer)
    with _tls_options(settings, protocol.limits) as tls:
        listening.listen(
            forwarded,
            _tell_address,
            proxy_headers=False,  # `forwarded` reads them
            host=settings.server.host,
            port=settings.server.port,
            http=protocol,
            log_config=None,  # the records of uvicorn go through our handler
            access_log=False,  # access lines hold the query, which may contain a phrase
            server_header=False,
            timeout_keep_alive=settings.server.keep_alive_s,
            timeout_graceful_shutdown=settings.server.stop_grace_s,
            ws="none",
            **tls,
        )


def _tell_address(url: str) -> None:
    """Tell a person where the page is; programs have the log."""
    if sys.stderr.isatty():
        typer.echo(f"open {url}", err=True)


@contextmanager
def _tls_options(settings: "Settings", limits: "Connections") -> Iterator[dict[str, Any]]:
    """Yield the options of the server for TLS, and follow the files of the certificate."""
    from service.api.lifespan import STEP_ENDS_WITHIN_S
    from service.api.server.handshakes import loop_with_counted_handshakes
    from service.certificate import Certificate
    from service.poller import Poller

    files = settings.tls
    if files.certificate_file is None or files.key_file is None:
        yield {}
        return
    certificate = Certificate(files.certificate_file, files.key_file)
    poller = Poller("the certificate", certificate.refresh, _CERTIFICATE_INTERVAL_S)
    poller.start()
    try:
        yield {
            "ssl_context_factory": lambda _config, _default: certificate.context,
            "loop": loop_with_counted_handshakes(limits),
        }
    finally:
        poller.stop(STEP_ENDS_WITHIN_S)
