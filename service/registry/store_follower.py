"""Follower of the store of the models, for the service: what is new, and whether it is there."""

import logging

from radiograph.errors import InvalidVersion, StoreUnavailable
from radiograph.repository.repository import Repository
from service.observability.observer import Observer

logger = logging.getLogger("g2d.store")


class StoreFollower:
    """Takes up what is new in the store of the models, if they are in one.

    While the store is away, the versions that were fetched before go on to answer.

    Args:
        repository: the model repository.
        observer: is told whether the store can be used.

    Attributes:
        failing: True while the store cannot be used.
    """

    def __init__(self, repository: Repository, observer: Observer) -> None:
        self._repository = repository
        self._observer = observer
        self._fault = ""
        self.failing = False

    def refresh(self) -> None:
        """Fetch what is new; a failure is logged once, until it is another or over."""
        fault, failing = "", False
        try:
            self._repository.refresh()
        except StoreUnavailable as error:
            fault, failing = str(error), True
        except (InvalidVersion, OSError) as error:
            fault = str(error)
        if fault and fault != self._fault:
            logger.error("the store of the models: %s", fault)
        if self._fault and not fault:
            logger.info("the store of the models is in order again")
        self._fault, self.failing = fault, failing
        self._observer.models_store_failing(failing)
