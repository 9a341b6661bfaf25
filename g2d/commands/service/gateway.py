"""`g2d gateway`: run the gateway between a PACS and the service, and look after it.

g2d gateway            -> service.gateway.gateway: runs until it is told to stop
g2d gateway status     -> counts and dead letters, read from its folder
g2d gateway resend     -> queues dead letters again; a running gateway sends them
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the gateway is imported when the command runs, not for `g2d --help`
    from service.gateway.configuration import Configuration

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="""Run the gateway between a PACS and a running service.

    \b
    g2d gateway --file gateway.toml             run it; also with G2D_GATEWAY_FILE=gateway.toml
    g2d gateway check --file gateway.toml       validate the file and the secrets that it names
    g2d gateway status --file gateway.toml      counts by state, and dead letters
    g2d gateway resend --file gateway.toml      send dead letters again

    The gateway takes radiographs by C-STORE and STOW-RS, has the service analyse them, and sends
    the results to the configured peers. docs/pacs.md describes the file.
    """,
)

File = Annotated[
    Path,
    typer.Option("--file", envvar="G2D_GATEWAY_FILE", help="TOML file of the gateway."),
]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--file", envvar="G2D_GATEWAY_FILE", help="TOML file of the gateway."),
    ] = None,
) -> None:
    """Run the gateway unless a sub-command is named."""
    if context.invoked_subcommand is not None:
        return
    if file is None:
        raise typer.BadParameter("name the file of the gateway", param_hint="--file")
    from service.gateway.server import serve
    from service.observability import logs
    from service.settings import Settings

    logs.configure("info")
    serve(_configuration(file), Settings.from_environment().audit)


@app.command()
def check(file: File) -> None:
    """Validate the file and the secrets and certificates that it names."""
    from service.gateway.gateway import Gateway

    Gateway(_configuration(file))
    typer.echo(f"{file} is valid")


@app.command()
def status(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the numbers of instances and results by state, and the dead letters.

    \b
    g2d gateway status
    g2d gateway status --json
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from dataclasses import asdict

    from service.gateway.storage.journal import opened_journal

    with opened_journal(_configuration(file).folder) as journal:
        counts, letters = journal.counts(), journal.dead_letters()
    if as_json:
        results = [
            {"peer": peer, "state": state, "count": count}
            for (peer, state), count in sorted(counts.deliveries.items())
        ]
        content = {
            "instances": dict(counts.instances),
            "results": results,
            "workitems": [
                {"worklist": worklist, "state": state, "count": count}
                for (worklist, state), count in sorted(counts.workitems.items())
            ],
            "dead_letters": [asdict(letter) for letter in letters],
        }
        json.dump(content, sys.stdout)
        typer.echo()
        return
    for state, count in sorted(counts.instances.items()):
        typer.echo(f"instances  {state:<12} {count}")
    for (peer, state), count in sorted(counts.deliveries.items()):
        typer.echo(f"results    {state:<12} {count}  for {peer}")
    for (worklist, state), count in sorted(counts.workitems.items()):
        typer.echo(f"workitems  {state:<12} {count}  of {worklist}")
    for letter in letters:
        typer.echo(
            f"dead letter {letter.place}/{letter.number}.dcm: {letter.reason} after "
            f"{letter.attempts} attempts"
        )


@app.command()
def resend(
    file: File,
    place: Annotated[
        str | None,
        typer.Option(help="Name of a peer or worklist, or `service`; by default, all."),
    ] = None,
    number: Annotated[
        list[int] | None, typer.Option(help="Number of a dead letter; may be repeated.")
    ] = None,
) -> None:
    """Queue dead letters again; a gateway that runs sends them within a second.

    \b
    g2d gateway resend
    g2d gateway resend --place pacs
    g2d gateway resend --place pacs --number 17
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.gateway.storage.journal import opened_journal
    from service.gateway.storage.spool import Spool

    configuration = _configuration(file)
    if number and place is None:
        raise typer.BadParameter("--number needs --place", param_hint="--number")
    spool = Spool(configuration.folder, configuration.min_free_bytes)
    with opened_journal(configuration.folder) as journal:
        letters = [
            letter
            for letter in journal.dead_letters()
            if place in (None, letter.place) and (not number or letter.number in number)
        ]
        if not letters:
            typer.echo("there are no such dead letters")
            return
        journal.revive(letters)
    for letter in letters:
        spool.unearth(letter.place, letter.number)
    typer.echo(f"queued again: {len(letters)}")


def _configuration(file: Path) -> "Configuration":
    from service.gateway.configuration import read_configuration

    return read_configuration(file)
