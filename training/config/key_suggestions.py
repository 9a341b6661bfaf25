"""Suggestion of the key that a misspelt key of a configuration was meant to be.

schema -> every dotted key -> one beside it of like spelling, or of the same name elsewhere
"""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def nearest_key(schema: type[BaseModel], key: str) -> str | None:
    """Return the dotted key of a schema that is spelt most like `key`, if one is similar."""
    keys = list(dict.fromkeys(_keys(schema)))
    parent, _, last = key.rpartition(".")
    siblings = [known for known in keys if known.rpartition(".")[0] == parent]
    same_part = [known for known in keys if known.rpartition(".")[2] == last]
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
    named = difflib.get_close_matches(last, [k.rpartition(".")[2] for k in siblings], n=1)
    near = [known for known in siblings if named and known.rpartition(".")[2] == named[0]]
    return next(iter([*near, *same_part, *close]), None)


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation, also those in a union or under `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
