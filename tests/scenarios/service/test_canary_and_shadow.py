"""A share of the requests goes to the canary; a shadow alias is loaded beside it."""

from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from radiograph.repository.repository import Repository
from service.errors import InvalidSettings
from service.registry.canary import CanaryShares, position_of
from service.registry.registry import ModelRegistry
from service.settings import Settings
from tests.builders.files import sample_files
from tests.builders.models.distinct_versions import answered_probability, probability
from tests.builders.service.admin_calls import ADMIN, TOKEN
from tests.builders.service.registries import load
from tests.fixtures.service import Start

PNG = {"content-type": "image/png"}
BLACK = sample_files.png_file(np.zeros((64, 64), np.uint16))


@pytest.fixture
def root(root: Path) -> Path:
    """`stable` is version 1, `canary` version 2."""
    Repository(root).set_alias("tiny", "canary", 2)
    return root


def answering(models: ModelRegistry, key: str, reference: str | None = None) -> int:
    with models.lookup.lease(None, reference, key) as lease:
        return lease.analysis.identity.version


# canary


def test_keys_spread_evenly_and_stay_where_they_are() -> None:
    places = [position_of(f"request-{number}") for number in range(2000)]
    assert [position_of(f"request-{number}") for number in range(2000)] == places
    assert all(0 <= place < 1 for place in places)
    counts = Counter(int(10 * place) for place in places)
    assert min(counts.values()) > 150
    assert position_of("abc") == 0.7283949105903993  # on every replica, in every version of ours


def test_the_canary_gets_its_share_and_a_retry_the_same_version(root: Path) -> None:
    models = load(root, canary_share=0.25)
    keys = [f"request-{number}" for number in range(400)]
    first = [answering(models, key) for key in keys]
    assert [answering(models, key) for key in keys] == first
    assert 60 <= first.count(2) <= 140


@pytest.mark.parametrize(("share", "version"), [(0.0, 1), (1.0, 2)])
def test_no_share_is_none_and_a_whole_share_is_all(root: Path, share: float, version: int) -> None:
    models = load(root, canary_share=share)
    assert {answering(models, f"{number}") for number in range(50)} == {version}


def test_a_request_that_names_its_version_gets_it(root: Path) -> None:
    models = load(root, canary_share=1.0)
    assert [answering(models, "x", reference) for reference in ("stable", "1")] == [1, 1]


def test_stable_answers_where_the_canary_is_not_ready(root: Path) -> None:
    (root / "tiny/2/trunk.onnx").unlink()
    assert answering(load(root, canary_share=1.0), "x") == 1


def test_a_model_may_have_a_share_of_its_own() -> None:
    shares = CanaryShares(0.1, {"tiny": 0.5})
    assert (shares.of("tiny"), shares.of("other")) == (0.5, 0.1)
    shares.change("other", 0.9)
    assert (shares.of("tiny"), shares.of("other")) == (0.5, 0.9)


def test_shares_are_read_from_the_environment() -> None:
    given = {"G2D_CANARY_SHARE": "0.1", "G2D_CANARY_SHARES": "g2d-cxr=0.5,other=0"}
    settings = Settings.from_environment(given)
    assert (settings.models.canary_share, settings.models.canary_shares) == (
        0.1,
        {"g2d-cxr": 0.5, "other": 0.0},
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CANARY_SHARE", "1.1"),
        ("CANARY_SHARE", "nan"),
        ("CANARY_SHARES", "tiny"),
        ("CANARY_SHARES", "tiny=2"),
        ("CANARY_SHARES", "tiny=nan"),
        ("KEEP_RETIRED", "-1"),
        ("WATCH_INTERVAL_S", "nan"),
        ("WATCH_INTERVAL_S", "inf"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"G2D_{name}"):
        Settings.from_environment({f"G2D_{name}": value})


async def test_the_share_follows_the_request_id_and_can_be_changed(
    start: Start, root: Path
) -> None:
    async with start(models_dir=root, admin_token=TOKEN) as (_, client):
        assert await ask(client, "retry-1") == 1
        await client.put("/v1/models/tiny/canary", json={"share": 1.0}, headers=ADMIN)
        assert await ask(client, "retry-1") == 2


async def ask(client: httpx.AsyncClient, request_id: str) -> int:
    headers = PNG | {"x-request-id": request_id}
    response = await client.post("/classify", content=BLACK, headers=headers)
    body = response.json()
    version: int = body["model"]["version"]
    assert response.headers["x-model-version"] == f"tiny/{version}"
    assert answered_probability(body) == pytest.approx(probability(float(version)), abs=1e-5)
    return version


# shadow


def test_a_version_is_not_shadowed_by_itself(root: Path) -> None:
    Repository(root).set_alias("tiny", "canary", 1)
    with load(root, shadow_alias="canary").lookup.lease() as lease:
        assert lease.shadow is None


def test_the_shadow_alias_is_loaded_without_being_named_twice(root: Path) -> None:
    Repository(root).set_alias("tiny", "trial", 2)
    models = load(root, aliases="stable", shadow_alias="trial")
    assert [entry.aliases for entry in models.lookup.versions()] == [("stable",), ("trial",)]
