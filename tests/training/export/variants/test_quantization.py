"""A quantised trunk computes nearly the same, in int8 where it is asked to."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.builders.training.parts import small_trunk
from training.export.parity import open_graph
from training.export.variants.half_precision import to_half
from training.export.variants.quantization import Quantizer

EVERY = {
    "/encoder/stem/Conv",
    "/encoder/act/Relu",
    "/encoder/layer/conv/Conv",
    "/blocks.0/Resize",
    "/blocks.0/conv/conv.0/Conv",
}


@pytest.fixture
def quantizer(tmp_path: Path) -> Quantizer:
    return Quantizer(small_trunk.write(tmp_path / "t.onnx"), small_trunk.images(8), tmp_path)


def _weights_in_int8(graph: onnx.ModelProto) -> int:
    matrices = [item for item in graph.graph.initializer if len(item.dims) == 4]
    return sum(item.data_type == TensorProto.INT8 for item in matrices)


def test_an_int8_graph_is_within_some_steps_of_its_range(
    quantizer: Quantizer, tmp_path: Path
) -> None:
    graph = quantizer.quantize(EVERY)
    onnx.checker.check_model(graph)
    feeds = {"image": np.stack(small_trunk.images(8))}
    exact, found = (
        open_graph(tmp_path / "t.onnx")(feeds),
        open_graph(graph.SerializeToString())(feeds),
    )
    step = np.ptp(exact["map"]) / 255
    differences = np.abs(exact["map"] - found["map"])
    assert 0 < differences.mean() < 2 * step
    assert found["map"].shape == (8, 2, 16, 16)


def test_only_the_chosen_operators_are_in_int8(quantizer: Quantizer) -> None:
    assert _weights_in_int8(quantizer.quantize(EVERY)) == 3
    assert _weights_in_int8(quantizer.quantize({"/encoder/layer/conv/Conv"})) == 1


def test_weights_use_seven_bits_so_that_no_processor_overflows(quantizer: Quantizer) -> None:
    graph = quantizer.quantize(EVERY).graph
    weights = [item for item in graph.initializer if item.data_type == TensorProto.INT8]
    largest = [int(np.abs(numpy_helper.to_array(item).astype(int)).max()) for item in weights]
    assert len(largest) >= 3
    assert max(largest) == 64


def test_weights_have_a_scale_for_each_output_channel(quantizer: Quantizer) -> None:
    graph = quantizer.quantize(EVERY).graph
    (scales,) = (item for item in graph.initializer if item.name == "block_scale")
    assert list(scales.dims) == [4]


def test_the_work_of_a_convolution_is_its_number_of_multiplications(quantizer: Quantizer) -> None:
    assert quantizer.work() == {
        "/encoder/stem/Conv": 4 * 9 * 64,
        "/encoder/layer/conv/Conv": 16 * 9 * 64,
        "/blocks.0/conv/conv.0/Conv": 8 * 256,
        "/attnpool/Conv": 4 * 64,
    }


def test_a_float16_graph_reads_and_gives_float32(tmp_path: Path) -> None:
    source = small_trunk.write(tmp_path / "t.onnx")
    graph = to_half(source)
    onnx.checker.check_model(graph)
    types = {item.data_type for item in graph.graph.initializer if len(item.dims) == 4}
    assert types == {TensorProto.FLOAT16}
    ends = (*graph.graph.input, *graph.graph.output)
    assert {item.type.tensor_type.elem_type for item in ends} == {TensorProto.FLOAT}
    feeds = {"image": np.stack(small_trunk.images(2))}
    exact, found = open_graph(source)(feeds), open_graph(graph.SerializeToString())(feeds)
    assert 0 < np.abs(exact["map"] - found["map"]).max() < 5e-3
