"""`g2d serve`: start the service in this process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from service.settings import Settings


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
) -> None:
    """Start the HTTP service.

    \b
    g2d serve
    g2d serve --port 9000 --provider cuda
    curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/segment

    A request holds one radiograph and is answered with JSON or an overlay. The page at / lets you
    try a radiograph in the browser, /docs describes the interface, and /health/ready tells when
    the service is ready.

    Every setting has an environment variable, such as G2D_PORT or G2D_MODELS_DIR; they are listed
    in service/settings.py. An option takes precedence over its variable.
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
    )
    logs.configure(settings.server.log_level)
    _run(settings)


def _run(settings: "Settings") -> None:
    """Serve until the process is told to stop."""
    import gc
    import sys

    import uvicorn

    from service import malloc
    from service.api.app import create_app
    from service.observability import tracing_setup

    malloc.share_arenas()
    sys.setswitchinterval(0.001)  # threads that write answers yield to the event loop sooner
    app = create_app(settings, tracing=tracing_setup.from_environment())
    # The modules and the application live as long as the process. Without this, each full
    # collection would visit their 120,000 objects while the event loop stands still.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,  # the records of uvicorn go through our handler
        access_log=False,  # access lines hold the query, which may contain a phrase
        server_header=False,
        timeout_graceful_shutdown=settings.server.stop_grace_s,
        ws="none",
    )
