"""`g2d serve`: start the service in this process."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def serve(
    models_dir: Annotated[
        Path | None, typer.Option(help="The model repository, NAME/VERSION/.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    provider: Annotated[
        Literal["cpu", "cuda", "tensorrt"] | None,
        typer.Option(help="What computes. Asked for and not there is an error."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads within one graph; the CPUs there are.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Batches computed at one time.")] = None,
) -> None:
    """Start the service: JSON and overlays for one radiograph a request.

    \b
    g2d serve
    g2d serve --port 9000 --provider cuda
    curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' localhost:8000/segment

    Every setting has an environment variable as well (G2D_PORT, G2D_MODELS_DIR, ...;
    service/settings.py lists them); an option goes before its variable. The page at / tries a
    radiograph in a browser, /docs describes the interface, /health/ready says when it answers.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    import sys

    import uvicorn

    from service import malloc
    from service.api.app import create_app
    from service.observability import logs, tracing_setup
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
    malloc.share_arenas()
    sys.setswitchinterval(0.001)  # the event loop gets its turn sooner while answers are written
    uvicorn.run(
        create_app(settings, tracing=tracing_setup.from_environment()),
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,  # uvicorn's records go through our handler
        access_log=False,  # its lines hold the query, and so perhaps a phrase
        server_header=False,
        timeout_graceful_shutdown=settings.server.stop_grace_s,
        ws="none",
    )
