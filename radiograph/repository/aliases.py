"""`aliases.json`: which version each alias points to, and every version it pointed to before.

    {"schema_version": 1, "aliases": {"stable": [
        {"version": 1, "action": "set", "at": "2026-11-24T10:00:00+00:00"},
        {"version": 2, "action": "set", "at": "2026-11-25T10:00:00+00:00"},
        {"version": 1, "action": "rollback", "at": "2026-11-25T10:07:00+00:00"}]}}

The last entry is where the alias points; entries are only ever added. A roll-back undoes the
newest `set` that is not undone yet, so a second one goes further back and never forward
again to the version that was rolled back from.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from radiograph.errors import InvalidVersion

ALIASES_NAME = "aliases.json"
ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
"""Begins with a letter, so that no alias can be taken for a version number."""

AliasName = Annotated[str, Field(pattern=ALIAS_PATTERN)]


class Change(BaseModel):
    """One move of an alias."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    """Where it points from then on."""
    action: Literal["set", "rollback"]
    at: str
    """UTC, ISO 8601."""


class AliasHistory(BaseModel):
    """All aliases of one model. Immutable: a change gives a new history."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    aliases: dict[AliasName, Annotated[tuple[Change, ...], Field(min_length=1)]] = {}

    def targets(self) -> dict[str, int]:
        """Where each alias points."""
        return {alias: changes[-1].version for alias, changes in self.aliases.items()}

    def previous(self, alias: str) -> int | None:
        """Where a roll-back would take the alias, or None when nothing came before."""
        standing: list[int] = []
        for change in self.aliases.get(alias, ()):
            if change.action == "set":
                standing.append(change.version)
            elif standing:
                standing.pop()
        return standing[-2] if len(standing) > 1 else None

    def mentioned(self) -> set[int]:
        """Every version that any alias ever pointed to."""
        return {change.version for changes in self.aliases.values() for change in changes}

    def changed(
        self, alias: str, version: int, action: Literal["set", "rollback"]
    ) -> "AliasHistory":
        """The history with one more change, made now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = Change(version=version, action=action, at=now)
        changes = (*self.aliases.get(alias, ()), change)
        return AliasHistory(aliases={**self.aliases, alias: changes})

    def to_json(self) -> str:
        """The text of `aliases.json`."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "AliasHistory":
        """Read an `aliases.json`.

        Raises:
            InvalidVersion: it does not follow the schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidVersion(f"{ALIASES_NAME}: {error.errors()[0]['msg']}") from error
