"""Query string of a request: each value is one that the client meant.

The framework takes the last of several values, and U+FFFD for bytes that are not UTF-8. Both are
refused here, before any parameter is read.
"""

from collections import Counter
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

LISTS = frozenset({"objects", "phrase", "tasks"})
"""Parameters that may be repeated."""


async def _check(request: Request) -> None:
    """Refuse a query that is not UTF-8, or that gives a parameter of one value several times.

    Raises:
        RequestValidationError: for either.
    """
    query: bytes = request.scope["query_string"]
    if not query:
        return
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestValidationError(
            [
                {
                    "type": "utf8",
                    "loc": ("query",),
                    "msg": "The query should be percent-encoded UTF-8",
                }
            ]
        ) from error
    counts = Counter(name for name, _ in pairs)
    faults = [
        {"type": "repeated", "loc": ("query", name), "msg": "Input should be given once"}
        for name, count in counts.items()
        if count > 1 and name not in LISTS
    ]
    if faults:
        raise RequestValidationError(faults)


UNAMBIGUOUS = [Depends(_check)]
"""Dependencies of every route with query parameters."""
