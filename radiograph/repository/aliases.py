"""The aliases of one model, with their history, and the file `aliases.json` that holds them.

    {"schema_version": 1, "aliases": {"stable": [
        {"version": 1, "action": "set", "at": "2026-11-24T10:00:00+00:00"},
        {"version": 2, "action": "set", "at": "2026-11-25T10:00:00+00:00"},
        {"version": 1, "action": "rollback", "at": "2026-11-25T10:07:00+00:00"}]}}

The last entry of an alias is its current target; entries are only ever added. A roll-back undoes
the newest `set` that is not undone yet, so a second roll-back goes further back and never returns
to the version that was rolled back from.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from radiograph.errors import AliasConflict, InvalidVersion
from radiograph.repository.integrity.version_files import read_json, replace_file
from radiograph.repository.names import ALIAS_PATTERN, quoted
from radiograph.strict_model import StrictModel

ALIASES_NAME = "aliases.json"

AliasName = Annotated[str, Field(pattern=ALIAS_PATTERN)]


class Change(StrictModel):
    """One change of the target of an alias."""

    version: int = Field(ge=1)
    """Version that the alias points to from then on."""
    action: Literal["set", "rollback"]
    at: str
    """Time of the change, UTC, ISO 8601."""


class AliasHistory(StrictModel):
    """All aliases of one model. Immutable: a change returns a new history."""

    schema_version: Literal[1] = 1
    aliases: dict[AliasName, Annotated[tuple[Change, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )

    def targets(self) -> dict[str, int]:
        """Return the version that each alias points to."""
        return {alias: changes[-1].version for alias, changes in self.aliases.items()}

    def previous(self, alias: str) -> int | None:
        """Return the version that a roll-back would restore, or None if there is none."""
        not_undone: list[int] = []
        for change in self.aliases.get(alias, ()):
            if change.action == "set":
                not_undone.append(change.version)
            elif not_undone:
                not_undone.pop()
        return not_undone[-2] if len(not_undone) > 1 else None

    def require(self, alias: str, expected: int | None) -> None:
        """Refuse a change of an alias that does not point to the expected version.

        Args:
            alias: the alias.
            expected: the version, 0 for none; None accepts any.

        Raises:
            AliasConflict: the alias points to another version.
        """
        current = self.targets().get(alias, 0)
        if expected is not None and current != expected:
            where = f"version {current}" if current else "no version"
            raise AliasConflict(f"alias {quoted(alias)} points to {where}, not to {expected}")

    def mentioned(self) -> set[int]:
        """Return every version that any alias ever pointed to."""
        return {change.version for changes in self.aliases.values() for change in changes}

    def changed(
        self, alias: str, version: int, action: Literal["set", "rollback"]
    ) -> "AliasHistory":
        """Return the history with one more change, made now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = Change(version=version, action=action, at=now)
        changes = (*self.aliases.get(alias, ()), change)
        return AliasHistory(aliases={**self.aliases, alias: changes})

    def to_json(self) -> str:
        """Return the text of `aliases.json`."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "AliasHistory":
        """Read an `aliases.json`.

        Raises:
            InvalidVersion: the text does not follow the schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidVersion(f"{ALIASES_NAME}: {error.errors()[0]['msg']}") from error


class AliasFile:
    """The `aliases.json` of one model, read and replaced as a whole.

    Args:
        folder: the folder of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> AliasHistory:
        """Read the history; empty if there is no file.

        Raises:
            InvalidVersion: the file is corrupt or cannot be read.
        """
        try:
            return AliasHistory.from_json(read_json(self._folder / ALIASES_NAME))
        except FileNotFoundError:
            return AliasHistory()
        except OSError as error:
            file = f"{self._folder.name}/{ALIASES_NAME}"
            raise InvalidVersion(f"{file}: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[AliasHistory]:
        """Hold the lock that every writer takes, and give the history as it is then."""
        with (self._folder / ".aliases.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def replace(self, history: AliasHistory) -> None:
        """Write a new history in place of the old, atomically and durably."""
        replace_file(self._folder / ALIASES_NAME, history.to_json().encode())
