"""Pointers: where the aliases point in the repository, and the table that follows from it.

    aliases.json of every model -> wanted -+-> targets  what answers: the wanted version once it
    what is resident ----------------------'            is loaded, until then the one before
                                           '-> kept     targets, wanted, the latest ones before

What cannot be read changes nothing: the aliases stay where they were last seen.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from radiograph.errors import AliasConflict, InvalidVersion, ModelNotFound, RadiographError
from radiograph.repository.repository import Repository
from service.errors import VersionRefused
from service.registry.loaded_versions import LoadedVersions
from service.registry.state import AliasKey, RoutingTable, State, VersionKey, VersionStatus
from service.settings import Settings

logger = logging.getLogger("g2d.loading")

Wanted = Mapping[AliasKey, VersionKey]


@dataclass(frozen=True)
class Table:
    """What is to be served, and the versions that must stay loaded for it."""

    serving: RoutingTable
    kept: frozenset[VersionKey]


class AliasResolver:
    """Follows the aliases of the settings. Called by one thread at a time, but for `read`."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository = repository
        self._default_model = settings.models.default_model
        self._aliases = settings.models.served_aliases
        self._keep_retired = settings.models.keep_retired
        self._wanted: dict[AliasKey, VersionKey] = {}
        self._targets: dict[AliasKey, VersionKey] = {}
        self._before: dict[AliasKey, tuple[VersionKey, ...]] = {}
        self._faults: dict[str, str] = {}

    def read(self, name: str, alias: str) -> int:
        """Where an alias points on the disk.

        Raises:
            ModelNotFound: no such model or alias.
            VersionRefused: `aliases.json` does not hold.
        """
        try:
            return self._repository.aliases(name)[alias]
        except KeyError:
            raise ModelNotFound(f"model {name} has no such alias") from None
        except InvalidVersion as error:
            raise VersionRefused(str(error)) from error

    def require(self, name: str, alias: str, expected: int | None) -> None:
        """Refuse a move that would be refused at its end, before a version is loaded for it.

        Raises:
            ModelNotFound: no such model.
            AliasConflict: the alias does not point to `expected`.
            InvalidVersion: `aliases.json` does not hold.
        """
        points_to = self._repository.aliases(name).get(alias, 0)
        if expected is not None and points_to != expected:
            raise AliasConflict(f"the alias points to version {points_to or 'none'}")

    def wanted(self) -> dict[AliasKey, VersionKey]:
        """Where the aliases of the settings point, the default model and alias first."""
        known = {name for name, _ in self._wanted}
        names = sorted({*self._repository.names(), *known})
        names.sort(key=lambda name: name != self._default_model)
        self._wanted = {
            (name, alias): (name, targets[alias])
            for name in names
            for targets in [self._read(name)]
            for alias in self._aliases
            if alias in targets
        }
        return self._wanted

    def table(self, wanted: Wanted, residents: LoadedVersions) -> Table:
        """What follows from where the aliases point and what is loaded."""
        targets = {
            pointer: key if self._takes_over(pointer, key, residents) else self._targets[pointer]
            for pointer, key in wanted.items()
        }
        self._before = {
            pointer: self._history(pointer, key, residents) for pointer, key in targets.items()
        }
        self._targets = targets
        kept = [key for keys in self._before.values() for key in keys]
        entries = self._entries(wanted, kept, residents)
        serving = RoutingTable(entries, targets, dict(self._faults))
        return Table(serving, frozenset((*entries, *wanted.values())))

    def _read(self, name: str) -> Mapping[str, int]:
        """The aliases of a model; those seen last when there are none, or none can be read."""
        last = {alias: key[1] for (model, alias), key in self._wanted.items() if model == name}
        try:
            targets = self._repository.aliases(name)
        except RadiographError as error:
            self._fault(name, str(error))
            return last
        if last and not targets:
            self._fault(name, "its aliases have gone; those seen last are served")
            return last
        self._faults.pop(name, None)
        return targets

    def _fault(self, name: str, reason: str) -> None:
        if self._faults.get(name) != reason:
            logger.error("the aliases of %s: %s", name, reason)
            self._faults[name] = reason

    def _takes_over(self, pointer: AliasKey, key: VersionKey, residents: LoadedVersions) -> bool:
        """Whether the wanted version answers: it is loaded, or nothing else could."""
        before = self._targets.get(pointer)
        return residents.get(key) is not None or before is None or residents.get(before) is None

    def _history(
        self, pointer: AliasKey, now: VersionKey, residents: LoadedVersions
    ) -> tuple[VersionKey, ...]:
        """The latest versions that an alias pointed to before and that are still loaded."""
        before, last = self._before.get(pointer, ()), self._targets.get(pointer, now)
        latest = dict.fromkeys((*(() if last == now else (last,)), *before))
        return tuple(key for key in latest if key != now and residents.get(key))[
            : self._keep_retired
        ]

    def _entries(
        self, wanted: Wanted, kept: list[VersionKey], residents: LoadedVersions
    ) -> dict[VersionKey, VersionStatus]:
        answers, waits = _by_key(self._targets), _by_key(wanted)
        entries: dict[VersionKey, VersionStatus] = {}
        for key in dict.fromkeys((*self._targets.values(), *wanted.values(), *kept)):
            aliases = tuple(answers.get(key, ()))
            wanted_by = tuple(alias for alias in waits.get(key, ()) if alias not in aliases)
            entries[key] = _entry(key, aliases, wanted_by, residents)
        return entries


def _entry(
    key: VersionKey, aliases: tuple[str, ...], wanted_by: tuple[str, ...], residents: LoadedVersions
) -> VersionStatus:
    resident, reason = residents.get(key), residents.reason(key)
    if resident is not None:
        state = State.READY if aliases else State.RETIRED
    else:
        state = State.LOADING if reason is None else State.FAILED
    return VersionStatus(*key, aliases, wanted_by, state, reason, resident)


def _by_key(pointers: Mapping[AliasKey, VersionKey]) -> dict[VersionKey, list[str]]:
    found: dict[VersionKey, list[str]] = {}
    for (_, alias), key in pointers.items():
        found.setdefault(key, []).append(alias)
    return found
