"""Checks of names on the command line: one that nothing can have is a mistake of usage.

A name that something could have, but nothing has, is found missing by the repository.
"""

from collections.abc import Callable

import typer

from radiograph.repository.names import ALIAS, MODEL_NAME, VERSION_NUMBER, quoted

Check = Callable[[str | None], str | None]


def _checked(what: str, matches: Callable[[str], object]) -> Check:
    """Return the callback of an option that refuses other names; None passes."""

    def check(value: str | None) -> str | None:
        if value is not None and not matches(value):
            raise typer.BadParameter(f"{quoted(value)} cannot be {what}")
        return value

    return check


def _is_reference(text: str) -> bool:
    return bool(VERSION_NUMBER.fullmatch(text) or ALIAS.fullmatch(text))


def _is_head_name(text: str) -> bool:
    from radiograph.repository.head_publishing import is_head_name  # needs the manifest

    return is_head_name(text)


model = _checked("the name of a model", MODEL_NAME.fullmatch)
alias = _checked("the name of an alias", ALIAS.fullmatch)
alias_or_none = _checked("the name of an alias", lambda text: not text or ALIAS.fullmatch(text))
reference = _checked("a version number or an alias", _is_reference)
head = _checked("the name of a head", _is_head_name)
