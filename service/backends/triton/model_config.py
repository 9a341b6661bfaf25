"""The texts of `config.pbtxt`: what Triton is told of a graph and of an ensemble.

    Part (a graph)            -> part_config      backend, tensors, batches, warm-up
    Steps (trunk, text, head) -> ensemble_config  which tensor goes where

Only what is certain is stated, and all of it: Triton's own guessing cannot know which first axes
are one batch. A tensor's dimensions are kept with every axis here; where Triton batches, the
first one is left out of the text, as its configuration wants it.

Source: model_config.proto of triton-inference-server/common.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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


def ensemble_config(
    name: str,
    version: int,
    steps: Mapping[str, Part],
    outputs: Mapping[tuple[str, str], str],
) -> str:
    """The configuration of a chain of graphs of one version.

    Triton runs the steps that the outputs of a request need, and no others.

    Args:
        name: of the ensemble.
        version: of every graph in it.
        steps: the graphs by what they are called, each after those that it reads from.
        outputs: (step, tensor) -> what it is called where it comes out.

    A tensor between two steps is called `step.tensor`, so that it is never taken for one that a
    client sends.
    """
    batch = min(part.batch for part in steps.values())
    source = _sources(steps)
    outer = {t.name: t for part in steps.values() for t in part.inputs if t.name not in source}
    given = [
        replace(tensor, name=outputs[step, tensor.name])
        for step, part in steps.items()
        for tensor in part.outputs
        if (step, tensor.name) in outputs
    ]
    lines = [
        f"name: {_quoted(name)}",
        'platform: "ensemble"',
        f"max_batch_size: {batch}",
        *_tensors("input", tuple(outer.values()), batch),
        *_tensors("output", given, batch),
        _version_policy([version]),
        "ensemble_scheduling {",
    ]
    read = {source[t.name] for part in steps.values() for t in part.inputs if t.name in source}
    for step, part in steps.items():
        lines += ["  step {", f"    model_name: {_quoted(part.name)} model_version: {version}"]
        for tensor in part.inputs:
            origin = source.get(tensor.name)
            lines.append(_map("input", tensor.name, _called(origin, outputs) or tensor.name))
        for tensor in part.outputs:
            key = (step, tensor.name)
            if key in outputs or key in read:
                lines.append(_map("output", tensor.name, _called(key, outputs)))
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _sources(steps: Mapping[str, Part]) -> dict[str, tuple[str, str]]:
    """Which step gives a tensor that heads read, by its name."""
    before = {step: steps[step] for step in ("trunk", "text") if step in steps}
    return {t.name: (step, t.name) for step, part in before.items() for t in part.outputs}


def _called(key: tuple[str, str] | None, outputs: Mapping[tuple[str, str], str]) -> str:
    """What a step's tensor is called in the ensemble; nothing for what a client sends."""
    return "" if key is None else outputs.get(key, ".".join(key))


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
