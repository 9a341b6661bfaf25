"""A share of the requests goes to the canary; a shadow answers too, and nobody waits for it."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest

from radiograph.postprocess.heads import Detection, Finding, Grounding, Mask
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN
from radiograph.repository.repository import Repository
from service.dataplane.output_comparison import differences
from service.dataplane.shadow import ShadowCopy, Shadows
from service.decoding.decode import ImageFacts
from service.errors import InvalidSettings
from service.inference.results import AnalysisResult, ModelIdentity
from service.inference.types import AnalysisRequest
from service.observability.observer import NullObserver
from service.registry.canary import CanaryShares, position_of
from service.registry.registry import ModelRegistry
from service.settings import Settings
from tests.builders.files import sample_files
from tests.builders.models.distinct_versions import answered_probability, probability
from tests.builders.service.admin_calls import ADMIN, TOKEN
from tests.builders.service.loaded import load
from tests.fixtures.service import Start

PNG = {"content-type": "image/png"}
BLACK = sample_files.png_file(np.zeros((64, 64), np.uint16))


class Compared(NullObserver):
    """Remembers what the shadow said."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, float]]] = []
        self.came = threading.Semaphore(0)

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        self.heard.append((model, dict(differences)))
        self.came.release()


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


async def test_a_shadow_answers_too_and_the_difference_is_told(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compared = Compared()
    with caplog.at_level(logging.INFO, "g2d.shadow"):
        async with start(observer=compared, models_dir=root, shadow_alias="canary") as (_, client):
            assert await ask(client, "shadowed") == 1
            assert await asyncio.to_thread(compared.came.acquire, timeout=60)
    expected = probability(2.0) - probability(1.0)
    ((model, found),) = compared.heard
    assert model == "tiny/2"
    assert found == {"findings": pytest.approx(expected, abs=1e-5)}
    (line,) = (vars(record)["fields"] for record in caplog.records)
    assert (line["id"], line["model"], line["shadow"]) == ("shadowed", "tiny/1", "tiny/2")
    assert line["differences"]["findings"] == pytest.approx(expected, abs=1e-4)


async def test_a_shadow_that_fails_changes_no_answer(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(models_dir=root, shadow_alias="canary") as (app, client):
        shadow = app.state.components.registry.lookup.ready(reference="canary")
        failed = threading.Event()

        def fail(*_: object) -> None:
            failed.set()
            raise ValueError("Doe^Jane")

        shadow.run_here = fail
        assert await ask(client, "real") == 1
        assert await asyncio.to_thread(failed.wait, 60)
    assert "a shadow version failed" in caplog.text
    assert "Jane" not in caplog.text


def copies(root: Path) -> tuple[ModelRegistry, ShadowCopy]:
    models = load(root, shadow_alias="canary")
    with models.lookup.lease() as lease:
        assert lease.shadow is not None
        assert lease.shadow.version == 2
        return models, ShadowCopy(lease.shadow, AnalysisRequest(), b"", UNKNOWN, result(), "id")


def test_copies_are_dropped_under_load_and_when_too_many_wait(root: Path) -> None:
    models, copy = copies(root)
    assert not Shadows(NullObserver(), lambda: True).offer(copy)
    begun, go = threading.Event(), threading.Event()

    def block(*_: object) -> AnalysisResult:
        begun.set()
        go.wait(60)
        return result()

    models.lookup.ready(reference="canary").run_here = block  # type: ignore[method-assign, assignment]
    shadows = Shadows(NullObserver(), lambda: False)
    assert shadows.offer(copy)
    assert begun.wait(60)
    assert [shadows.offer(copy) for _ in range(4)] == [True, True, False, False]
    go.set()
    shadows.close()
    assert not shadows.offer(copy)


def test_a_copy_for_a_version_that_was_freed_is_dropped(root: Path) -> None:
    models, copy = copies(root)
    models.close()
    compared = Compared()
    shadows = Shadows(compared, lambda: False)
    assert shadows.offer(copy)
    shadows.close()
    assert compared.heard == []


def test_a_version_is_not_shadowed_by_itself(root: Path) -> None:
    Repository(root).set_alias("tiny", "canary", 1)
    with load(root, shadow_alias="canary").lookup.lease() as lease:
        assert lease.shadow is None


def test_the_shadow_alias_is_loaded_without_being_named_twice(root: Path) -> None:
    Repository(root).set_alias("tiny", "trial", 2)
    models = load(root, aliases="stable", shadow_alias="trial")
    assert [entry.aliases for entry in models.lookup.versions()] == [("stable",), ("trial",)]


# comparison


def result(**answers: object) -> AnalysisResult:
    return AnalysisResult(
        model=ModelIdentity("tiny", 1, "0" * 64),
        preprocess=PreprocessSpec(),
        image=ImageFacts(rows=4, columns=4),
        warnings=(),
        out_of_domain=None,
        timings_ms={},
        **answers,  # type: ignore[arg-type]
    )


def mask(*cells: int) -> Mask:
    pixels = np.zeros(4, dtype=bool)
    pixels[list(cells)] = True
    return Mask("lung", None, pixels.reshape(2, 2), len(cells), None, None)


def test_findings_are_compared_by_name() -> None:
    one = (Finding("a", None, 0.2, 0.5, False), Finding("b", None, 0.9, 0.5, True))
    other = (Finding("b", None, 0.6, 0.5, True), Finding("a", None, 0.3, 0.5, False))
    assert differences(result(findings=one), result(findings=other)) == {
        "findings": pytest.approx(0.3)
    }


def test_labels_of_one_version_alone_are_counted() -> None:
    one = (Finding("a", None, 0.2, 0.5, False), Finding("b", None, 0.9, 0.5, True))
    found = differences(result(findings=one), result(findings=one[:1]))
    assert found == {"findings": 0.0, "unmatched": 1.0}


@pytest.mark.parametrize(
    ("one", "other", "loss"),
    [
        ((0, 1), (0, 1), 0.0),
        ((0, 1), (1, 2), 0.5),
        ((0,), (1,), 1.0),
        ((), (), 0.0),
        ((), (1,), 1.0),
    ],
)
def test_masks_are_compared_by_dice(
    one: tuple[int, ...], other: tuple[int, ...], loss: float
) -> None:
    found = differences(result(masks=(mask(*one),)), result(masks=(mask(*other),)))
    assert found == {"masks": pytest.approx(loss)}


def test_boxes_are_compared_by_the_overlap_of_the_best() -> None:
    best = Detection("a", None, 0.9, (0, 0, 2, 2))
    worse = Detection("a", None, 0.3, (8, 8, 9, 9))
    half = Detection("a", None, 0.8, (0, 0, 2, 1))
    found = differences(result(detections=(worse, best)), result(detections=(half,)))
    assert found == {"boxes": pytest.approx(0.5)}
    assert differences(result(detections=(best,)), result(detections=())) == {"boxes": 1.0}


def test_phrases_are_compared_by_similarity_and_heatmap() -> None:
    one = Grounding("left", "aligned", 0.5, np.zeros((2, 2), np.float32), None, None)
    other = Grounding("left", "aligned", 0.8, np.full((2, 2), 0.25, np.float32), None, None)
    found = differences(result(groundings=(one,)), result(groundings=(other,)))
    assert found == {"phrases": pytest.approx(0.3), "heatmaps": 0.25}


def test_what_one_answer_alone_holds_is_not_compared() -> None:
    assert differences(result(findings=()), result(masks=())) == {}
