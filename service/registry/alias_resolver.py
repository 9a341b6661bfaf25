"""Alias resolver: which versions the aliases ask for, and which version answers for each.

    aliases.json of every model --AliasResolver--> DesiredState --+
    versions in memory ------------------------------------------ +--next_table--> RoutingTable
    the table before ---------------------------------------------+

An alias is answered by the version that it points to once that is loaded; until then the version
before goes on answering. Aliases that cannot be read change nothing: the state that was read last
stays desired.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from radiograph.errors import RadiographError
from radiograph.repository.repository import Repository
from service.registry.loading.loaded_versions import LoadedVersions
from service.registry.state import AliasKey, RoutingTable, State, VersionKey, VersionStatus
from service.settings import ModelSettings

logger = logging.getLogger("g2d.loading")


@dataclass(frozen=True)
class DesiredState:
    """Versions that the aliases in the repository point to.

    Attributes:
        targets: alias -> version, the default model first, then in the order of the settings.
        faults: model -> why its aliases cannot be read.
    """

    targets: Mapping[AliasKey, VersionKey] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


class AliasResolver:
    """Reads the desired state from the repository. Not safe to call from several threads.

    Args:
        repository: the model repository.
        settings: the aliases to follow, and the default model.
    """

    def __init__(self, repository: Repository, settings: ModelSettings) -> None:
        self._repository = repository
        self._default_model = settings.default_model
        self._aliases = settings.served_aliases
        self._last = DesiredState()
        self._faults: dict[str, str] = {}

    def desired(self) -> DesiredState:
        """Return where the aliases of the settings point now."""
        known = {name for name, _ in self._last.targets}
        names = sorted({*self._repository.names(), *known})
        names.sort(key=lambda name: name != self._default_model)
        targets = {
            (name, alias): (name, numbers[alias])
            for name in names
            for numbers in [self._read(name)]
            for alias in self._aliases
            if alias in numbers
        }
        self._last = DesiredState(targets, dict(self._faults))
        return self._last

    def _read(self, name: str) -> Mapping[str, int]:
        """Return the aliases of a model; those read last if there are none or they are broken."""
        last = {
            alias: key[1] for (model, alias), key in self._last.targets.items() if model == name
        }
        try:
            numbers = self._repository.aliases(name)
        except RadiographError as error:
            self._report(name, str(error))
            return last
        if last and not numbers:
            self._report(name, "its aliases have gone; those seen last are served")
            return last
        self._faults.pop(name, None)
        return numbers

    def _report(self, name: str, reason: str) -> None:
        """Record a fault, and log it once."""
        if self._faults.get(name) != reason:
            logger.error("the aliases of %s: %s", name, reason)
            self._faults[name] = reason


def next_table(
    before: RoutingTable, desired: DesiredState, loaded: LoadedVersions, keep_retired: int
) -> RoutingTable:
    """Return the table that follows from the desired state and from what is loaded.

    Args:
        before: the current table.
        desired: what the aliases ask for.
        loaded: the versions in memory.
        keep_retired: versions that answered for an alias before and stay loaded for a roll-back.
    """
    targets = {
        alias: key if _takes_over(key, before.targets.get(alias), loaded) else before.targets[alias]
        for alias, key in desired.targets.items()
    }
    previous = {
        alias: _previous(alias, key, before, loaded)[:keep_retired]
        for alias, key in targets.items()
    }
    answers, waits = _aliases_by_version(targets), _aliases_by_version(desired.targets)
    kept = [key for keys in previous.values() for key in keys]
    versions: dict[VersionKey, VersionStatus] = {}
    for key in dict.fromkeys((*targets.values(), *desired.targets.values(), *kept)):
        aliases = tuple(answers.get(key, ()))
        wanted_by = tuple(alias for alias in waits.get(key, ()) if alias not in aliases)
        versions[key] = _status(key, aliases, wanted_by, loaded)
    return RoutingTable(versions, targets, previous, desired.faults)


def _takes_over(key: VersionKey, current: VersionKey | None, loaded: LoadedVersions) -> bool:
    """Return whether the desired version answers: it is loaded, or no other version could."""
    return loaded.get(key) is not None or current is None or loaded.get(current) is None


def _previous(
    alias: AliasKey, now: VersionKey, before: RoutingTable, loaded: LoadedVersions
) -> tuple[VersionKey, ...]:
    """Return the loaded versions that answered for an alias before this one, latest first."""
    candidates: Iterable[VersionKey] = before.previous.get(alias, ())
    current = before.targets.get(alias, now)
    if current != now:
        candidates = (current, *candidates)
    return tuple(key for key in dict.fromkeys(candidates) if key != now and loaded.get(key))


def _status(
    key: VersionKey, aliases: tuple[str, ...], wanted_by: tuple[str, ...], loaded: LoadedVersions
) -> VersionStatus:
    version, reason = loaded.get(key), loaded.reason(key)
    if version is not None:
        state = State.READY if aliases else State.RETIRED
    else:
        state = State.LOADING if reason is None else State.FAILED
    return VersionStatus(*key, aliases, wanted_by, state, reason, version)


def _aliases_by_version(targets: Mapping[AliasKey, VersionKey]) -> dict[VersionKey, list[str]]:
    aliases: dict[VersionKey, list[str]] = {}
    for (_, alias), key in targets.items():
        aliases.setdefault(key, []).append(alias)
    return aliases
