"""Trade: what the runner needs of the service to answer items, as functions."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.jobs.job import JobQuestion

Answer = Callable[[bytes, str, JobQuestion], Awaitable[tuple[bytes, bytes | None]]]
"""Bytes, media type and question -> JSON and, where the question asks for it, a picture; by the
version that the question names."""
Describe = Callable[[Exception], Mapping[str, Any]]
"""Why an item has no answer -> the problem that is shown."""


@dataclass(frozen=True)
class Trade:
    """How an item is answered, and what is said when it is not.

    Attributes:
        answer: one item.
        describe: why there is no answer.
        rest: there is nothing to do for now; what was kept for the next item may go.
    """

    answer: Answer
    describe: Describe
    rest: Callable[[], None] = lambda: None
