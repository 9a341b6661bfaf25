"""Processes of a run, and the strategy by which they work together."""

import pytest
from lightning.fabric.strategies.ddp import DDPStrategy

from training.config.engine import EngineConfig
from training.engine import distributed

LAUNCHERS = (
    "TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_NNODES",
    "SLURM_JOB_NAME",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"TORCHELASTIC_RUN_ID": "7", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, (4, 2)),
        ({"SLURM_NTASKS": "16", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "g2d"}, (8, 2)),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "bash"}, None),
    ],
)
def test_the_launcher_counts_the_processes(
    environment: dict[str, str],
    expected: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.started_by_launcher() == expected


def test_one_process_has_no_strategy_and_several_have_ddp() -> None:
    assert distributed.strategy_of(EngineConfig(), 1) == "auto"
    assert isinstance(distributed.strategy_of(EngineConfig(), 2), DDPStrategy)


@pytest.mark.parametrize("unused", [True, False])
def test_the_graph_is_searched_for_unused_weights_only_where_there_are_some(unused: bool) -> None:
    strategy = distributed.strategy_of(EngineConfig(), 2, unused_weights=unused)
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] is unused


def test_a_sharded_run_saves_one_whole_file() -> None:
    strategy = distributed.strategy_of(EngineConfig(strategy="fsdp"), 2)
    assert getattr(strategy, "_state_dict_type", None) == "full"


def test_batch_norm_is_not_synchronised_on_cpus() -> None:
    with pytest.raises(ValueError, match="CUDA devices only"):
        distributed.launch(EngineConfig(accelerator="cpu", sync_batchnorm=True), "32-true")
