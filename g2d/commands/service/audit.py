"""`g2d audit`: verify, pin and export the audit log of the service.

verify | head | export -> service.audit.chain.store -> rows and heads of the chains
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from radiograph.errors import MalformedInput
from radiograph.strict_model import StrictModel

if TYPE_CHECKING:  # the service is imported when a command runs, not for `g2d --help`
    from service.audit.chain.entry import Head
    from service.audit.chain.store import AuditStore

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Verify and export the audit log of the service.

    \b
    g2d audit verify --file audit.sqlite                      find records that were changed
    g2d audit head --file audit.sqlite > heads.jsonl          keep this in another place
    g2d audit verify --file audit.sqlite --head heads.jsonl   find records cut off since then
    g2d audit export --file audit.sqlite --since 2026-11-01   one JSON object a line
    """,
)

LogFile = Annotated[
    Path | None,
    typer.Option("--file", envvar="G2D_AUDIT_FILE", help="SQLite file of the audit log."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="G2D_AUDIT_URL", help="URL of a PostgreSQL audit log.", show_envvar=True
    ),
]
Time = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Time in UTC."),
]


@app.command()
def verify(
    file: LogFile = None,
    url: Url = None,
    head: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Heads that `g2d audit head` printed."),
    ] = None,
) -> None:
    """Verify every record of every chain.

    Altered, removed, reordered and replaced records are named, and the exit code is 5. Records
    cut off at the end of a chain are found with the heads that were exported before.

    \b
    g2d audit verify --file audit.sqlite
    g2d audit verify --file audit.sqlite --head heads.jsonl
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from service.audit.chain.verification import verify as verify_rows
    from service.errors import AuditAltered

    exported = [] if head is None else list(_heads(head))
    verdict = verify_rows(_open(file, url).rows(), exported)
    for fault in verdict.faults:
        typer.echo(str(fault), err=True)
    if verdict.faults:
        raise AuditAltered(f"{len(verdict.faults)} faults in {verdict.records} records")
    typer.echo(f"{verdict.records} records in {len(verdict.heads)} chains: no fault")


@app.command()
def head(file: LogFile = None, url: Url = None) -> None:
    """Print number and hash of the last record of every chain.

    \b
    g2d audit head --file audit.sqlite > heads.jsonl
    """  # noqa: D301 - as above
    for found in _open(file, url).heads():
        typer.echo(json.dumps(vars(found)))


@app.command()
def export(file: LogFile = None, url: Url = None, since: Time = None, until: Time = None) -> None:
    """Print records as JSON, one a line: `record` as it was hashed, and its `hash`.

    \b
    g2d audit export --file audit.sqlite --since 2026-11-01 --until 2026-12-01
    g2d audit export --file audit.sqlite | jq '.record | fromjson | select(.act == "set-alias")'
    """  # noqa: D301 - as above
    for row in _open(file, url).rows(_stored(since), _stored(until)):
        typer.echo(json.dumps({"hash": row.hash, "record": row.record}))


class _ExportedHead(StrictModel):
    """One line of `g2d audit head`."""

    writer: str
    number: int
    hash: str


def _heads(file: Path) -> Iterator["Head"]:
    from service.audit.chain.entry import Head

    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            yield Head(**dict(_ExportedHead.model_validate_json(line)))
        except ValidationError as error:
            raise MalformedInput(f"{file}: line {number} is no head of a chain") from error


def _open(file: Path | None, url: str | None) -> "AuditStore":
    """Return the log that the options name; an SQLite file must exist."""
    from service.audit.chain.store import AuditStore
    from service.errors import InvalidSettings

    if (file is None) == (url is None):
        raise InvalidSettings("name the audit log with --file or --url")
    if file is None:
        return AuditStore(str(url))
    if not file.is_file():
        raise InvalidSettings(f"{file}: no such file")
    return AuditStore(f"sqlite:///{file.absolute()}")


def _stored(time: datetime | None) -> str | None:
    """Return a time as records hold it."""
    from service.audit.chain.entry import time_text

    return None if time is None else time_text(time.replace(tzinfo=UTC))
