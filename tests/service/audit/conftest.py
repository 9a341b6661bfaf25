"""Fixtures of the audit tests: empty databases of both kinds, and stores on them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.audit.chain.store import AuditStore, create_file
from tests.fixtures.jobs import emptied

OpenStore = Callable[[], AuditStore]


@pytest.fixture(params=["sqlite", "postgresql"])
def audit_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return create_file(tmp_path / "audit.sqlite")
    url: str = request.getfixturevalue("postgres")
    return emptied(url)


@pytest.fixture
def open_store(audit_url: str) -> Iterator[OpenStore]:
    """Open the log as another process would."""
    made: list[AuditStore] = []

    def opened() -> AuditStore:
        made.append(AuditStore(audit_url))
        return made[-1]

    yield opened
    for store in made:
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AuditStore]:
    """A log in SQLite."""
    made = AuditStore(create_file(tmp_path / "audit.sqlite"))
    yield made
    made.close()
