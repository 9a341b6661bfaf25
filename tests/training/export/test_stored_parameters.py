"""A graph says which of its tensors hold which parameters, whatever the exporter did to them."""

import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from training.evaluation.weight_rounding import STORED_AS_HALF
from training.export.stored_parameters import read_parameters, record_parameters
from training.export.weight_compression import compress_weights

VOCABULARY = 40


class _Module(nn.Module):
    """Parameters that the exporter renames, transposes, cuts, merges and leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 32)
        self.linear = nn.Linear(32, 3 * 32)
        self.first, self.second = nn.LayerNorm(32), nn.LayerNorm(32)  # equal: one is kept
        self.in_proj_weight = nn.Parameter(torch.randn(3 * 32, 32))
        self.in_proj_bias = nn.Parameter(torch.randn(3 * 32))
        self.scale = nn.Parameter(torch.tensor([10.0, 5.0]))
        self.unread = nn.Linear(7, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.second(self.first(self.words(ids)))
        x = self.linear(x)[..., :32]
        q, k, v = self.in_proj_weight.chunk(3)
        a, b, c = self.in_proj_bias.chunk(3)
        product = nn.functional.linear(x, q, a) * nn.functional.linear(x, k, b)
        return self.scale[0] * product + self.scale[1] * nn.functional.linear(x, v, c)


def _write(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(
            module.eval(), (torch.tensor([[1, 2]]),), str(path), dynamo=False, training=training,
            input_names=["ids"], dynamic_axes={"ids": {0: "rows"}},
        )  # fmt: skip
    graph = onnx.load(path)
    record_parameters(graph, module)
    onnx.save(compress_weights(graph, VOCABULARY), path)


@pytest.fixture
def module() -> _Module:
    torch.manual_seed(3)
    return _Module()


def test_every_parameter_that_the_graph_reads_is_found(module: _Module, tmp_path: Path) -> None:
    _write(module, tmp_path / "graph.onnx")
    found = read_parameters(tmp_path / "graph.onnx")
    own = {n: v for n, v in module.state_dict().items() if not n.startswith("unread")}
    assert found.keys() == own.keys()
    for name, value in own.items():
        tolerance = {"words.weight": 2e-2}.get(name, 1e-3 if value.numel() >= STORED_AS_HALF else 0)
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_the_graph_really_lost_names(module: _Module, tmp_path: Path) -> None:
    _write(module, tmp_path / "graph.onnx")
    kept = {
        t.name.removesuffix(".half") for t in onnx.load(tmp_path / "graph.onnx").graph.initializer
    }
    assert not {"linear.weight", "in_proj_weight", "in_proj_bias", "scale"} & kept
    assert len({"first.weight", "second.weight"} & kept) == 1


def test_a_graph_that_does_not_say_is_refused(module: _Module, tmp_path: Path) -> None:
    _write(module, tmp_path / "graph.onnx")
    graph = onnx.load(tmp_path / "graph.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "graph.onnx")
    with pytest.raises(KeyError):
        read_parameters(tmp_path / "graph.onnx")
