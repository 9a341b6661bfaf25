"""Announcing: what another table changes, told to the log and to the observer.

the table before, the table now -> versions that answer from now on, or no longer
                                -> aliases that another version answers for
"""

import logging

from service.observability.observer import Observer
from service.registry.state import AliasKey, RoutingTable, State, VersionKey, VersionStatus

logger = logging.getLogger("g2d.loading")


def announce(before: RoutingTable, now: RoutingTable, observer: Observer) -> None:
    """Say what has changed, once the table says so too."""
    was, is_now = _answering(before), _answering(now)
    for key in dict.fromkeys((*was.values(), *is_now.values())):
        if (key in was.values()) != (key in is_now.values()):
            state = State.READY if key in is_now.values() else State.RETIRED
            _log(before.entries.get(key), now.entries.get(key), *key)
            observer.version(*key, state)
    for (name, alias), key in is_now.items():
        if was.get((name, alias)) != key:
            logger.info("%s: %s is answered by %s", name, alias, key[1])
            observer.alias(name, alias, key[1])


def _log(before: VersionStatus | None, now: VersionStatus | None, name: str, version: int) -> None:
    """One line for a version that answers from now on, or no longer."""
    if now is None or now.analysis is None or now.resident is None:
        logger.info("%s/%s is retired", name, version)
    elif before is not None and before.state is State.RETIRED:
        logger.info("%s/%s is ready again", name, version)
    else:
        logger.info("%s/%s is ready after %.2f s", name, version, now.resident.loading_s)


def _answering(serving: RoutingTable) -> dict[AliasKey, VersionKey]:
    """The aliases that are answered, and by which version."""
    return {
        pointer: key
        for pointer, key in serving.targets.items()
        if serving.entries[key].analysis is not None
    }
