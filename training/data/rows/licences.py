"""Terms of a licence that decide about the use of a row, read from its name."""

import re

_SHARE_ALIKE = re.compile(r"\bSA\b|share[ -]?alike|\bGPL", re.IGNORECASE)


def is_share_alike(licence: str) -> bool:
    """Return whether a licence asks for the same licence of what is made from the work.

    Args:
        licence: licence in words, such as `CC BY-SA 4.0`.
    """
    return _SHARE_ALIKE.search(licence) is not None
