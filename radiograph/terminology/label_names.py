"""Names of labels: one line of text of any script, as manifests and configurations hold them."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator

MAX_LABEL_CHARS = 100
_REFUSED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories of control characters, surrogates, and line and paragraph separators."""

_BIDIRECTIONAL_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _one_line(name: str) -> str:
    """Accept text of any script, without characters that break a line or reorder other text."""
    if not name.strip() or len(name) > MAX_LABEL_CHARS:
        raise ValueError(f"a label has 1 to {MAX_LABEL_CHARS} characters")
    for character in name:
        refused = unicodedata.category(character) in _REFUSED_CATEGORIES
        if refused or unicodedata.bidirectional(character) in _BIDIRECTIONAL_CONTROLS:
            raise ValueError(f"a label is one line of text: {name!r}")
    return name


LabelName = Annotated[str, AfterValidator(_one_line)]
