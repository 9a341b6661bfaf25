"""`g2d keys`: create, list and revoke the API keys of a service.

create | list | revoke -> service.auth.key_file, which a running service reads again when it changes
"""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.auth import key_file
from service.auth.keys import OWNER, ApiKey, KeySet, new_key
from service.auth.principal import Scope

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Manage the API keys in the file that G2D_KEYS_FILE names.

    \b
    g2d keys create --owner pacs --scope infer --scope jobs    print a new key, once
    g2d keys list                                              list the keys, without secrets
    g2d keys revoke 4be0643f1d98573b                           refuse a key from now on

    A running service follows within seconds.
    """,
)

File = Annotated[
    Path, typer.Option("--keys-file", envvar="G2D_KEYS_FILE", help="File of the API keys.")
]


@app.command()
def create(
    file: File,
    owner: Annotated[
        str,
        typer.Option(
            help="Name of the client; keys of one owner share their jobs. It stands in logs."
        ),
    ],
    scope: Annotated[list[Scope], typer.Option(help="Permission; may be repeated.")],
    days: Annotated[
        int, typer.Option(min=0, max=36500, help="Days until the key expires; 0 means never.")
    ] = 365,
) -> None:
    """Create a key and print it. Only its digest is kept, so that it cannot be shown again.

    \b
    g2d keys create --owner pacs --scope infer --scope jobs
    g2d keys create --owner prometheus --scope metrics --days 0
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    if not re.fullmatch(OWNER, owner):
        raise typer.BadParameter(f"an owner must match {OWNER}", param_hint="--owner")
    now = datetime.now(UTC).replace(microsecond=0)
    key, token = new_key(owner, scope, now, now + timedelta(days=days) if days else None)
    key_file.change(file, lambda before: KeySet(keys=(*before.keys, key)))
    typer.echo(f"key {key.id} of {owner}: keep what follows, it is shown only now", err=True)
    typer.echo(token)


@app.command("list")
def list_keys(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List all keys with owner, scopes and expiry; their secrets are not known."""
    keys = key_file.read(file).keys
    if as_json:
        rows = [key.model_dump(mode="json", exclude={"sha256"}) for key in keys]
        typer.echo(json.dumps(rows, indent=2))
        return
    for key in keys:
        typer.echo(_row(key))


@app.command()
def revoke(
    file: File, key: Annotated[str, typer.Argument(help="Identifier from `g2d keys list`.")]
) -> None:
    """Remove a key, so that it is refused from now on."""
    key_file.change(file, lambda before: _without(before, key))
    typer.echo(f"revoked {key}", err=True)


def _row(key: ApiKey) -> str:
    expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d}"
    if key.expires is not None and key.expires <= datetime.now(UTC):
        expires += " (expired)"
    scopes = ",".join(key.scopes)
    return (
        f"{key.id}  {key.owner:<24} {scopes:<24} created {key.created:%Y-%m-%d}  expires {expires}"
    )


def _without(before: KeySet, key: str) -> KeySet:
    kept = tuple(known for known in before.keys if known.id != key)
    if len(kept) == len(before.keys):
        raise typer.BadParameter("no key has this identifier", param_hint="KEY")
    return KeySet(keys=kept)
