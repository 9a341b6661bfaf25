"""Fixtures of the jobs' tests: databases of both kinds, empty for each test."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.service.jobs import postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL."""
    programs, user = postgres_server.programs(), postgres_server.user()
    if programs is None or user is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL here: the Debian package `postgresql` and psycopg bring it")
    with postgres_server.running(programs, user) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    url: str = request.getfixturevalue("postgres")
    return emptied(url)


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The URL of an empty PostgreSQL."""
    return emptied(postgres)


def emptied(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url
