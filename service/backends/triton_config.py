"""The texts of `config.pbtxt`: what Triton is told of a graph and of an ensemble.

    Part (a graph)            -> part_config      backend, tensors, batches, warm-up
    Steps (trunk, text, head) -> ensemble_config  which tensor goes where

Only what is certain is stated, and all of it: Triton's own guessing cannot know which first axes
are one batch. A tensor's dimensions are kept with every axis here; where Triton batches, the
first one is left out of the text, as its configuration wants it.

Source: model_config.proto of triton-inference-server/common.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BATCH_DELAY_US = 1000
"""How long a request may wait for others; short beside a trunk's tens of milliseconds."""


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: as in the graph.
        type: Triton's name, such as `TYPE_FP32`.
        dims: every axis, -1 where it varies.
        sample: the same with sizes that the graph surely takes, for the warm-up.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    sample: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One graph as a Triton model.

    Attributes:
        name: of the Triton model.
        role: `trunk`, `text` or `head`; its place in an ensemble.
        inputs: what it reads.
        outputs: what it gives.
        batch: the largest batch along the first axis; 0 where that axis is no common batch.
    """

    name: str
    role: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: int


def part_config(part: Part, versions: Sequence[int]) -> str:
    """The configuration of a graph that ONNX Runtime computes."""
    lines = [
        f"name: {_quoted(part.name)}",
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {part.batch}",
        *_tensors("input", part.inputs, part.batch),
        *_tensors("output", part.outputs, part.batch),
        _version_policy(versions),
        "instance_group { count: 1 kind: KIND_AUTO }",
        *_warmup(part),
    ]
    if part.batch:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {BATCH_DELAY_US} }}")
    return "\n".join(lines) + "\n"


def ensemble_config(name: str, version: int, steps: Sequence[Part]) -> str:
    """The configuration of a chain of graphs of one version; the last one's outputs come out.

    A tensor between two steps is called `role.name`, so that it is never taken for one that a
    client sends or gets.
    """
    last = steps[-1]
    batch = min(step.batch for step in steps)
    inside = {tensor.name: step.role for step in steps[:-1] for tensor in step.outputs}
    read = {tensor.name for tensor in last.inputs}
    outer = [tensor for step in steps for tensor in step.inputs if tensor.name not in inside]
    lines = [
        f"name: {_quoted(name)}",
        'platform: "ensemble"',
        f"max_batch_size: {batch}",
        *_tensors("input", outer, batch),
        *_tensors("output", last.outputs, batch),
        _version_policy([version]),
        "ensemble_scheduling {",
    ]
    for step in steps:
        lines += ["  step {", f"    model_name: {_quoted(step.name)} model_version: {version}"]
        for tensor in step.inputs:
            source = f"{inside[tensor.name]}.{tensor.name}" if tensor.name in inside else None
            lines.append(_map("input", tensor.name, source or tensor.name))
        for tensor in step.outputs:
            if step is last:
                lines.append(_map("output", tensor.name, tensor.name))
            elif tensor.name in read:
                lines.append(_map("output", tensor.name, f"{step.role}.{tensor.name}"))
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _tensors(field: str, tensors: Sequence[Tensor], batch: int) -> Iterator[str]:
    for tensor in tensors:
        dims = _list(tensor.dims[1:] if batch else tensor.dims)
        yield f"{field} {{ name: {_quoted(tensor.name)} data_type: {tensor.type} dims: {dims} }}"


def _version_policy(versions: Sequence[int]) -> str:
    return f"version_policy {{ specific {{ versions: {_list(versions)} }} }}"


def _warmup(part: Part) -> Iterator[str]:
    """One run on zeros, so that the first request does not pay for what is made on first use."""
    yield f'model_warmup {{ name: "zeros" batch_size: {1 if part.batch else 0}'
    for tensor in part.inputs:
        dims = _list(tensor.sample[1:] if part.batch else tensor.sample)
        value = f"data_type: {tensor.type} dims: {dims} zero_data: true"
        yield f"  inputs {{ key: {_quoted(tensor.name)} value {{ {value} }} }}"
    yield "}"


def _map(field: str, inner: str, outer: str) -> str:
    return f"    {field}_map {{ key: {_quoted(inner)} value: {_quoted(outer)} }}"


def _list(numbers: Sequence[int]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
