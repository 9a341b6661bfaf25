"""The null observer accepts every event of the interface."""

import inspect

from service.observability.observer import NULL_OBSERVER, Observer

EVENTS = [name for name in vars(Observer) if not name.startswith("_")]


def test_the_null_observer_ignores_every_event() -> None:
    for name in EVENTS:
        method = getattr(NULL_OBSERVER, name)
        arguments = [None] * len(inspect.signature(method).parameters)
        assert method(*arguments) is None
