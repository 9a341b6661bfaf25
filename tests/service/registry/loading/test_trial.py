"""A version is loaded in a process of its own first, with limits of time and memory."""

import threading
from pathlib import Path

import pytest

from radiograph.errors import AlteredVersion, InvalidVersion, UnloadableVersion
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.errors import NotReady, VersionRefused
from service.registry.loading.loader import VersionLoader
from service.registry.loading.trial import Trial
from service.registry.registry import ModelRegistry
from service.registry.state import State
from service.settings import Settings
from tests.builders.models.faults import endless_graphs, faulty_versions
from tests.builders.models.versions import distinct_versions, tiny_version
from tests.builders.service.registry.registries import states
from tests.builders.service.registry.version_log import VersionLog

ENDLESS_FILES = "tests.builders.models.faults.endless_files"


def settings_of(root: Path, **changes: object) -> Settings:
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1)
    return settings.changed(**{"trial_timeout_s": 3600, **changes})


def trial_of(root: Path, **changes: object) -> Trial:
    return Trial(settings_of(root, **changes))


def check(trial: Trial, root: Path, version: int = 1) -> None:
    trial.check("tiny", version, Repository(root).digest("tiny", version))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def registry_of(root: Path, log: VersionLog | None = None, **changes: object) -> ModelRegistry:
    settings = settings_of(root, **changes)
    loader = VersionLoader(
        Repository(root), backend_factory(settings), settings.limits, trial=Trial.of(settings)
    )
    return ModelRegistry(settings.models, loader, log or VersionLog())


def test_a_sound_version_passes_once_for_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_version.publish(tmp_path)
    trial = trial_of(tmp_path)
    check(trial, tmp_path)
    monkeypatch.setattr(Trial, "_start", None)  # a second process would raise a TypeError
    check(trial, tmp_path)


def test_a_version_at_fault_is_refused_for_its_reason(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, change=faulty_versions.shift_golden)
    with pytest.raises(InvalidVersion, match=r"tiny/1|`findings\.logits` differs by 0\.01"):
        check(trial_of(tmp_path), tmp_path)


def test_an_altered_version_keeps_the_class_of_its_error(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path)
    faulty_versions.find_everything(tmp_path, 1)
    with pytest.raises(AlteredVersion):
        check(trial_of(tmp_path), tmp_path)


def test_a_huge_constant_is_refused_for_its_memory(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, change=endless_graphs.fill_memory)
    with pytest.raises(UnloadableVersion, match="takes more memory than allowed"):
        check(trial_of(tmp_path), tmp_path)


def test_endless_files_are_refused_and_cost_the_service_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_version.publish(tmp_path)
    monkeypatch.setattr("service.registry.loading.trial.PROCESS", ENDLESS_FILES)
    registry, before = registry_of(tmp_path, trial_open_files=64), open_files()
    registry.load()
    (status,) = registry.lookup.versions()
    assert status.state is State.FAILED
    assert status.reason == "tiny/1: loading opens more files than allowed"
    assert open_files() == before


def test_the_least_number_of_open_files_is_enough_for_a_sound_version(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path)
    check(trial_of(tmp_path, trial_open_files=64), tmp_path)


def test_an_endless_graph_does_not_keep_a_later_version_out(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, change=endless_graphs.loop_for_ever)
    registry = registry_of(tmp_path, trial_cpu_s=1)
    registry.load()
    assert states(registry) == {1: State.FAILED}
    (status,) = registry.lookup.versions()
    assert status.reason == "tiny/1: loading takes more than 1 s of CPU time"
    distinct_versions.publish(tmp_path, bias=1.0)
    registry.refresh()
    assert states(registry) == {2: State.READY}


def test_moving_an_alias_to_an_endless_graph_is_refused(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, alias=None, change=endless_graphs.loop_for_ever)
    with pytest.raises(VersionRefused, match="loading takes more than 1 s of CPU time"):
        registry_of(tmp_path, trial_cpu_s=1).promote("tiny", "canary", 1, None)


def test_a_trial_that_outlasts_its_time_is_killed(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, change=endless_graphs.loop_for_ever)
    with pytest.raises(UnloadableVersion, match=r"takes longer than 0\.5 s"):
        check(trial_of(tmp_path, trial_timeout_s=0.5), tmp_path)


def test_a_process_that_dies_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_version.publish(tmp_path)
    monkeypatch.setattr("service.registry.loading.trial.PROCESS", "no.such.module")
    with pytest.raises(UnloadableVersion, match="ended the trial process with status 1"):
        check(trial_of(tmp_path), tmp_path)


def test_a_stop_ends_a_trial_that_never_would(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, change=endless_graphs.loop_for_ever)
    log = VersionLog()
    registry = registry_of(tmp_path, log, trial_cpu_s=3600)
    loading = threading.Thread(target=registry.load, daemon=True)
    loading.start()
    assert log.began.acquire(timeout=600)
    registry.stop()
    loading.join(600)
    assert not loading.is_alive()
    with pytest.raises(NotReady, match="stops"):
        registry.promote("tiny", "stable", 1, None)


@pytest.mark.parametrize("options", [{"backend": "triton"}, {"trial_timeout_s": 0}])
def test_triton_and_a_time_of_zero_have_no_trial(options: dict[str, object]) -> None:
    assert Trial.of(Settings.of(**options)) is None
    assert Trial.of(Settings.of()) is not None
