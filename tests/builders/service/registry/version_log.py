"""An observer that records the life of versions, so that a test can wait for a change."""

import threading

from service.observability.observer import NullObserver


class VersionLog(NullObserver):
    """Records every change of a version and of an alias.

    Attributes:
        versions: (version, state), in the order of the changes.
        moves: (alias, version that answers from now on).
        began, freed, moved: released once for each load that begins, each version freed, and
            each move of an alias.
    """

    def __init__(self) -> None:
        self.versions: list[tuple[int, str]] = []
        self.moves: list[tuple[str, int]] = []
        self.began = threading.Semaphore(0)
        self.freed = threading.Semaphore(0)
        self.moved = threading.Semaphore(0)

    def version(self, model: str, version: int, state: str) -> None:
        self.versions.append((version, str(state)))
        if state == "loading":
            self.began.release()
        if state == "freed":
            self.freed.release()

    def alias(self, model: str, alias: str, version: int) -> None:
        self.moves.append((alias, version))
        self.moved.release()

    @property
    def loads(self) -> list[int]:
        """Versions in the order in which they were loaded."""
        return [version for version, state in self.versions if state == "loading"]
