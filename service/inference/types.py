"""Work: one radiograph on its way through the model.

Plan (what is asked) --> Work (with the tensor) --model--> Raw --> Inferred
"""

from dataclasses import dataclass

from radiograph.manifest import HeadSpec, Task
from service.backends.base import FloatArray
from service.deadline import Deadline
from service.decoding.decode import DecodedImage

Features = dict[str, FloatArray]


@dataclass(frozen=True)
class Plan:
    """A checked request: which heads run, in order, and the phrases they read."""

    heads: dict[str, HeadSpec]
    tasks: tuple[Task, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class BatchItem:
    """One radiograph for the model.

    Attributes:
        tensor: 1 x size x size, float32.
        plan: what is asked of it.
        text: features of the plan's phrases, P x D, or None without phrases.
        deadline: of the request.
        request_id: of the request, or empty.
        alone: whether it was the only request when it was queued.
    """

    tensor: FloatArray
    plan: Plan
    text: FloatArray | None
    deadline: Deadline
    request_id: str = ""
    alone: bool = True


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """What the model gave for one radiograph: arrays without a batch axis.

    Attributes:
        outputs: by head and name.
        global_features: the trunk's, D.
        timings_ms: `trunk` and `heads` of the whole batch.
    """

    outputs: dict[str, Features]
    global_features: FloatArray | None
    timings_ms: dict[str, float]


@dataclass(frozen=True, eq=False)
class Inferred:
    """A radiograph that has been through the model; `Analysis.complete` makes it a result."""

    plan: Plan
    decoded: DecodedImage
    raw: RawOutputs
    timings_ms: dict[str, float]
    started: float


@dataclass(frozen=True)
class AnalysisRequest:
    """What is asked of one radiograph.

    Attributes:
        tasks: what to answer; empty is everything that the version offers.
        phrases: what to look for.
        method: which grounding, or None for the version's first.
    """

    tasks: tuple[Task, ...] = ()
    phrases: tuple[str, ...] = ()
    method: str | None = None
