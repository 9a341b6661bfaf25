"""Two processes with half of a batch each compute the same as one with the whole batch."""

from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from tests.builders.distributed import two_processes
from tests.builders.distributed.two_processes import Result
from tests.builders.training.parts.tiny_objective import config_of
from training.config.pretrain import PretrainConfig

WHOLE = slice(0, 4)


@pytest.fixture(scope="module")
def configs(text_encoder: Path) -> dict[str, PretrainConfig]:
    return {
        "symmetric": config_of(text_encoder),
        "one direction": config_of(text_encoder, symmetric=False, threshold="gmm"),
        "no decoder": config_of(text_encoder, decoder_loss="none"),
    }


@pytest.fixture(scope="module")
def ranks(
    configs: dict[str, PretrainConfig], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Result]]:
    """Results of both processes."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(two_processes.work, (folder, configs), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("ids", [True, False])
def test_loss_and_gradients_are_those_of_the_joined_batch(
    ranks: list[dict[str, Result]], symmetric: bool, ids: bool
) -> None:
    whole = two_processes.contrast(WHOLE, symmetric=symmetric, ids=ids)
    halves = [rank[f"contrast {symmetric} {ids}"] for rank in ranks]
    for name in ("loss", "image", "text"):
        mean = (halves[0][name] + halves[1][name]) / 2  # what DDP makes of two processes
        torch.testing.assert_close(mean, whole[name], rtol=1e-12, atol=1e-12)


def test_without_gathering_each_process_has_its_own_negatives(
    ranks: list[dict[str, Result]],
) -> None:
    for rank, found in enumerate(ranks):
        rows = slice(2 * rank, 2 * rank + 2)
        own = two_processes.contrast(rows, symmetric=True, ids=True, gather=False)
        torch.testing.assert_close(found["alone"]["loss"], own["loss"])
    joined = two_processes.contrast(WHOLE, symmetric=True, ids=True)
    mean = (ranks[0]["alone"]["loss"] + ranks[1]["alone"]["loss"]) / 2
    assert mean < joined["loss"] - 0.1  # fewer negatives, an easier task


@pytest.mark.parametrize("name", ["symmetric", "one direction", "no decoder"])
@pytest.mark.parametrize("ids", [True, False])
def test_the_whole_model_under_ddp_has_the_gradients_of_one_process(
    ranks: list[dict[str, Result]], configs: dict[str, PretrainConfig], name: str, ids: bool
) -> None:
    whole = two_processes.objective(configs[name], WHOLE, ids=ids, wrap=False)
    first, second = (rank[f"{name} {ids}"] for rank in ranks)
    for term, value in whole["loss"].items():
        torch.testing.assert_close((first["loss"][term] + second["loss"][term]) / 2, value)
    for weight, gradient in whole["weights"].items():
        if gradient is None:
            assert first["weights"][weight] is None, weight
            continue
        scale = gradient.abs().max().item()
        for found in (first["weights"][weight], second["weights"][weight]):
            torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-4 * scale + 1e-7)
