"""A request is planned with the heads of its tasks, or refused before any work is done."""

from pathlib import Path

import pytest

from radiograph.errors import TaskNotOffered, UnusablePhrase
from radiograph.manifest import ModelManifest, Task
from radiograph.repository.repository import Repository
from service.inference.phrase_encoder import PhraseEncoder
from service.inference.planner import Planner
from service.inference.types import AnalysisRequest
from service.settings import LimitSettings
from tests.builders.service.backends.fake_backend import FakeBackend

LIMITS = LimitSettings(max_phrases=2, max_phrase_chars=10)


@pytest.fixture
def manifest(tiny_models: Path) -> ModelManifest:
    return Repository(tiny_models).load_manifest("tiny", 1)


@pytest.fixture
def planner(tiny_models: Path, manifest: ModelManifest) -> Planner:
    assert manifest.text is not None
    folder = Repository(tiny_models).folder("tiny", 1)
    phrases = PhraseEncoder(FakeBackend(manifest), manifest.text, folder, cache_size=1)
    return Planner("tiny/1", manifest, phrases, LIMITS)


def test_a_request_without_tasks_gets_all_that_need_no_phrase(planner: Planner) -> None:
    plan = planner.plan(AnalysisRequest())
    assert plan.tasks == (Task.CLASSIFY, Task.SEGMENT, Task.DETECT)
    assert list(plan.heads) == ["findings", "anatomy", "boxes"]
    assert plan.phrases == ()


def test_a_phrase_adds_grounding_to_a_request_without_tasks(planner: Planner) -> None:
    plan = planner.plan(AnalysisRequest(phrases=("bright",)))
    assert plan.tasks[-1] is Task.GROUND
    assert list(plan.heads)[-1] == "regions"


def test_heads_run_in_the_order_of_the_tasks(planner: Planner) -> None:
    plan = planner.plan(AnalysisRequest((Task.DETECT, Task.CLASSIFY)))
    assert list(plan.heads) == ["boxes", "findings"]


@pytest.mark.parametrize(
    ("method", "head"), [(None, "regions"), ("aligned", "regions"), ("zero_shot", "similarity")]
)
def test_one_head_grounds_by_the_method(planner: Planner, method: str | None, head: str) -> None:
    plan = planner.plan(AnalysisRequest((Task.GROUND,), ("bright",), method))
    assert list(plan.heads) == [head]


def test_phrases_are_planned_as_they_are_normalised(planner: Planner) -> None:
    plan = planner.plan(AnalysisRequest((Task.GROUND,), (" bright ", "dark\n left")))
    assert plan.phrases == ("bright", "dark left")


def test_a_method_that_the_version_lacks_is_not_offered(planner: Planner) -> None:
    with pytest.raises(TaskNotOffered, match=r"tiny/1 does not offer ground \(other\)"):
        planner.plan(AnalysisRequest((Task.GROUND,), ("bright",), "other"))


def test_a_task_without_a_head_is_not_offered(manifest: ModelManifest) -> None:
    heads = {"findings": manifest.heads["findings"]}
    planner = Planner("tiny/1", manifest.model_copy(update={"heads": heads}), None, LIMITS)
    assert list(planner.plan(AnalysisRequest()).heads) == ["findings"]
    with pytest.raises(TaskNotOffered, match="tiny/1 does not offer segment"):
        planner.plan(AnalysisRequest((Task.SEGMENT,)))


def test_a_version_without_a_text_encoder_grounds_nothing(manifest: ModelManifest) -> None:
    with pytest.raises(TaskNotOffered, match="no text encoder"):
        Planner("tiny/1", manifest, None, LIMITS).plan(AnalysisRequest(phrases=("bright",)))


@pytest.mark.parametrize(
    ("tasks", "phrases", "reason"),
    [
        ((Task.GROUND,), (), "`phrase` is missing"),
        ((Task.GROUND,), ("a", "b", "c"), "at most 2 phrases"),
        ((Task.GROUND,), ("bright " * 2,), "at most 10 characters"),
        ((Task.GROUND,), ("",), "empty"),
        ((Task.CLASSIFY,), ("bright",), "`ground` was not asked for"),
    ],
)
def test_phrases_that_cannot_be_answered_are_refused(
    planner: Planner, tasks: tuple[Task, ...], phrases: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(UnusablePhrase, match=reason):
        planner.plan(AnalysisRequest(tasks, phrases))
