"""Texts of `config.pbtxt`, the configuration of a Triton model.

    GraphModel                      -> graph_config      backend, tensors, batches, warm-up
    GraphModels (trunk, text, head) -> ensemble_config   connections between their tensors

Everything is stated, because Triton's auto-completion cannot know which first axes are one batch.
Tensors keep every axis here; the text omits the batch axis of a model that Triton batches, as its
configuration requires.

Source: model_config.proto of triton-inference-server/common.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.backends.triton.graph_models import GraphModel, Tensor

BATCH_DELAY_US = 1000
"""How long a request may wait for others; short beside a trunk's tens of milliseconds."""

NO_LABELS: Mapping[str, str] = {}

StepTensor = tuple[str, str]
"""Name of a step in an ensemble, and name of one of its tensors."""


@dataclass(frozen=True)
class EnsembleNotes:
    """Notes that a client needs beside the tensors, to give the answers of the service.

    Attributes:
        parameters: texts by key.
        label_files: file of label names, by output whose values are one for each label.
    """

    parameters: Mapping[str, str]
    label_files: Mapping[str, str] = field(default_factory=dict)


def graph_config(model: GraphModel, versions: Sequence[int]) -> str:
    """Return the configuration of a graph that ONNX Runtime computes."""
    lines = [
        f"name: {_quoted(model.name)}",
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {model.batch}",
        *_tensors("input", model.inputs, model.batch),
        *_tensors("output", model.outputs, model.batch),
        _version_policy(versions),
        "instance_group { count: 1 kind: KIND_AUTO }",
        *_warmup(model),
    ]
    if model.batch:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {BATCH_DELAY_US} }}")
    return "\n".join(lines) + "\n"


def ensemble_config(
    name: str,
    version: int,
    steps: Mapping[str, GraphModel],
    outputs: Mapping[StepTensor, str],
    notes: EnsembleNotes,
) -> str:
    """Return the configuration of an ensemble of graphs of one version.

    Triton runs the steps that the outputs of a request need, and no others. A tensor between two
    steps is called `step.tensor`, so that it is never taken for an input of the client.

    Args:
        name: name of the ensemble.
        version: version of every graph in it.
        steps: graphs by step name, each after those that it reads from.
        outputs: step and tensor -> name of that output of the ensemble.
        notes: what a client needs beside the tensors.
    """
    batch = min(model.batch for model in steps.values())
    source = _sources(steps)
    inputs = {t.name: t for model in steps.values() for t in model.inputs if t.name not in source}
    given = [
        replace(tensor, name=outputs[step, tensor.name])
        for step, model in steps.items()
        for tensor in model.outputs
        if (step, tensor.name) in outputs
    ]
    lines = [
        f"name: {_quoted(name)}",
        'platform: "ensemble"',
        f"max_batch_size: {batch}",
        *_tensors("input", tuple(inputs.values()), batch),
        *_tensors("output", given, batch, notes.label_files),
        _version_policy([version]),
        *_parameters(notes.parameters),
        "ensemble_scheduling {",
    ]
    read = {source[t.name] for model in steps.values() for t in model.inputs if t.name in source}
    for step, model in steps.items():
        lines += ["  step {", f"    model_name: {_quoted(model.name)} model_version: {version}"]
        for tensor in model.inputs:
            origin = source.get(tensor.name)
            outer = tensor.name if origin is None else _outer_name(origin, outputs)
            lines.append(_map("input", tensor.name, outer))
        for tensor in model.outputs:
            key = (step, tensor.name)
            if key in outputs or key in read:
                lines.append(_map("output", tensor.name, _outer_name(key, outputs)))
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _sources(steps: Mapping[str, GraphModel]) -> dict[str, StepTensor]:
    """Return, by tensor name, the step that gives each tensor that heads may read."""
    before = {step: steps[step] for step in ("trunk", "text") if step in steps}
    return {t.name: (step, t.name) for step, model in before.items() for t in model.outputs}


def _outer_name(key: StepTensor, outputs: Mapping[StepTensor, str]) -> str:
    """Return the name of a step's output within the ensemble."""
    return outputs.get(key, ".".join(key))


def _tensors(
    field: str, tensors: Sequence[Tensor], batch: int, label_files: Mapping[str, str] = NO_LABELS
) -> Iterator[str]:
    for tensor in tensors:
        dims = _list(tensor.dims[1:] if batch else tensor.dims)
        text = f"name: {_quoted(tensor.name)} data_type: {tensor.type} dims: {dims}"
        if tensor.name in label_files:
            text += f" label_filename: {_quoted(label_files[tensor.name])}"
        yield f"{field} {{ {text} }}"


def _parameters(parameters: Mapping[str, str]) -> Iterator[str]:
    for key, text in parameters.items():
        yield f"parameters {{ key: {_quoted(key)} value: {{ string_value: {_quoted(text)} }} }}"


def _version_policy(versions: Sequence[int]) -> str:
    return f"version_policy {{ specific {{ versions: {_list(versions)} }} }}"


def _warmup(model: GraphModel) -> Iterator[str]:
    """Yield a run on zeros, so that the first request does not pay for lazy initialisation."""
    yield f'model_warmup {{ name: "zeros" batch_size: {1 if model.batch else 0}'
    for tensor in model.inputs:
        dims = _list(tensor.sample[1:] if model.batch else tensor.sample)
        value = f"data_type: {tensor.type} dims: {dims} zero_data: true"
        yield f"  inputs {{ key: {_quoted(tensor.name)} value {{ {value} }} }}"
    yield "}"


def _map(field: str, inner: str, outer: str) -> str:
    return f"    {field}_map {{ key: {_quoted(inner)} value: {_quoted(outer)} }}"


def _list(numbers: Sequence[int]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
