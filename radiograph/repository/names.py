"""Names of models, versions and aliases, and how they are shown in messages."""

import re

from radiograph.errors import ModelNotFound

ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
"""An alias begins with a letter, so that it cannot be mistaken for a version number."""

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VERSION_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
ALIAS = re.compile(ALIAS_PATTERN)


def require_alias_name(alias: str) -> None:
    """Refuse a name that no alias can have.

    Raises:
        ModelNotFound: the name is not valid.
    """
    if not ALIAS.fullmatch(alias):
        raise ModelNotFound(f"not a valid alias name: {quoted(alias)}")


def quoted(text: str) -> str:
    """Return any text quoted and shortened, so that it is safe in one line of a log."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
