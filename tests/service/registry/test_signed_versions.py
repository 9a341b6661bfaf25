"""With G2D_REQUIRE_SIGNATURE, only versions that a trusted key signed are loaded."""

from pathlib import Path

import pytest

from radiograph.repository.integrity.signatures import SecretKey
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.errors import InvalidSettings, VersionRefused
from service.model_repository import open_repository
from service.observability.metrics.service_metrics import Metrics
from service.registry.loading.loader import VersionLoader
from service.registry.registry import ModelRegistry
from service.registry.state import State
from service.settings import Settings
from tests.builders.models.versions import tiny_version
from tests.builders.service.registry.registries import states


@pytest.fixture
def key(tmp_path: Path) -> SecretKey:
    key = SecretKey.new()
    key.write(tmp_path / "publisher.key")
    return key


@pytest.fixture
def settings(tmp_path: Path, key: SecretKey) -> Settings:
    return Settings.of(
        models_dir=tmp_path / "models",
        default_model="tiny",
        threads=1,
        trusted_keys=tmp_path / "publisher.key.pub",
        require_signature="true",
        trial_timeout_s=0,
    )


def registry_of(settings: Settings, metrics: Metrics) -> ModelRegistry:
    repository = open_repository(settings.models)
    loader = VersionLoader(repository, backend_factory(settings), settings.limits)
    registry = ModelRegistry(settings.models, loader, metrics)
    registry.load()
    return registry


def test_a_version_is_served_once_it_is_signed(settings: Settings, key: SecretKey) -> None:
    root, metrics = settings.models.models_dir, Metrics()
    tiny_version.publish(root)
    registry = registry_of(settings, metrics)
    (status,) = registry.lookup.versions()
    assert (status.state, status.reason) == (
        State.FAILED,
        "tiny/1: the version has no signature",
    )
    text = metrics.render("")[0].decode()
    assert 'g2d_versions_refused_total{model="tiny",reason="unsigned",version="1"} 1.0' in text
    Repository(root).sign("tiny", 1, key)
    registry.refresh()
    assert states(registry) == {1: State.READY}


def test_an_alias_does_not_move_to_an_unsigned_version(settings: Settings, key: SecretKey) -> None:
    root = settings.models.models_dir
    tiny_version.publish(root)
    Repository(root).sign("tiny", 1, key)
    registry = registry_of(settings, Metrics())
    tiny_version.publish(root, alias=None)
    Repository(root).sign("tiny", 2, SecretKey.new())
    with pytest.raises(VersionRefused, match="a key that is not trusted"):
        registry.promote("tiny", "stable", 2, 1)
    assert states(registry) == {1: State.READY}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trusted_keys": None}, "G2D_REQUIRE_SIGNATURE.*G2D_TRUSTED_KEYS is not set"),
        ({"trusted_keys": ""}, "G2D_REQUIRE_SIGNATURE.*G2D_TRUSTED_KEYS is not set"),
    ],
)
def test_signatures_need_keys(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidSettings, match=reason):
        Settings.of(require_signature=True, **changes)


def test_keys_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    settings = Settings.of(trusted_keys=tmp_path / "nowhere", require_signature=True)
    with pytest.raises(InvalidSettings, match="G2D_TRUSTED_KEYS: nowhere"):
        open_repository(settings.models)
