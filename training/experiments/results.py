"""Folders of results that belong to one configuration, and their files.

    <folder>/config.json   what the results belong to: `Claimed`
    any result             written whole or not at all, read or refused by its name

So whoever changes a configuration cannot mix new results with old ones, and an experiment that
was killed goes on with what is missing.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

Config = TypeVar("Config", bound=BaseModel)
Found = TypeVar("Found")


class Claimed(Generic[Config]):
    """The claim of a configuration on a folder."""

    def __init__(self, folder: Path, kind: type[Config], what: str) -> None:
        """Args: folder: made when it is claimed; kind: of configuration; what: in words."""
        self._folder, self._kind, self._what = folder, kind, what

    @property
    def file(self) -> Path:
        """Where the configuration stands."""
        return self._folder / "config.json"

    def claim(self, config: Config) -> None:
        """Make it the folder of this configuration.

        Raises:
            ValueError: it holds results of another one.
        """
        if self.file.is_file():
            self.check(config)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self.file, config.model_dump_json(indent=1))

    def check(self, config: Config) -> None:
        """Refuse a folder of anything else.

        Raises:
            FileNotFoundError: nothing was started there.
            ValueError: it holds results of another configuration.
        """
        if not self.file.is_file():
            raise FileNotFoundError(f"{self._folder} holds no {self._what}")
        refusal = (
            f"{self._folder} holds the {self._what} of another configuration; choose a new --out"
        )
        try:  # as a configuration, not as text: later versions may know more keys
            before = self._kind.model_validate_json(self.file.read_bytes())
        except ValidationError as error:
            raise ValueError(refusal) from error
        if before != config:
            raise ValueError(refusal)


def read(file: Path, build: Callable[[dict[str, Any]], Found]) -> Found | None:
    """A result, or None where it was not found yet.

    Args:
        file: JSON.
        build: makes the result of what the file holds.

    Raises:
        ValueError: the file is not what was written.
    """
    if not file.is_file():
        return None
    try:
        return build(json.loads(file.read_text()))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{file} is not a result; remove it") from error


def write(file: Path, text: str) -> None:
    """A file that is there whole or not at all."""
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)
