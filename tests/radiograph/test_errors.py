"""The tree drawn in the docstring is the tree of classes."""

import re

import pytest

import radiograph.errors as errors
from radiograph.errors import RadiographError


def drawn() -> list[tuple[int, str, str]]:
    """(depth, name, what it means) of every line of the drawing."""
    line = re.compile(r"^ {4}([│├└─ ]*)([A-Z]\w+)(?: +(\S.*))?$", re.MULTILINE)
    found = line.findall(errors.__doc__ or "")
    return [(len(branch) // 4, name, meaning) for branch, name, meaning in found]


def classes(parent: type[RadiographError], depth: int = 0) -> list[tuple[int, str]]:
    """(depth, name) of a class and its subclasses in the module, in the order written."""
    below = [c for c in parent.__subclasses__() if c.__module__ == errors.__name__]
    return [(depth, parent.__name__), *(line for c in below for line in classes(c, depth + 1))]


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    assert [(depth, name) for depth, name, _ in drawn()] == classes(RadiographError)


def test_every_error_is_explained_where_it_is_drawn() -> None:
    assert [name for depth, name, meaning in drawn() if depth and not meaning] == []


@pytest.mark.parametrize("name", [name for _, name, _ in drawn()])
def test_every_error_has_one_sentence(name: str) -> None:
    sentence = getattr(errors, name).__doc__
    assert re.fullmatch(r"[A-Z][^.\n]*\.", sentence)
