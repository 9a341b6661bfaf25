"""Types of one radiograph on its way through a version.

AnalysisRequest --> Plan --> BatchItem --> RawOutputs --> Inferred --> AnalysisResult
    asked           checked  decoded       computed       assembled    (see `results`)
"""

from dataclasses import dataclass

from radiograph.manifest import HeadSpec, Task
from service.backends.base import FloatArray
from service.deadline import Deadline
from service.decoding.decode import DecodedImage
from service.inference.views import View

Features = dict[str, FloatArray]
"""Arrays by their name in a graph; features of the trunk, or outputs of a head."""

PHRASE_FEATURES = "phrase_features"
"""Input of the heads that read phrases, P x D; it comes from the text encoder, not the trunk."""


@dataclass(frozen=True)
class AnalysisRequest:
    """Question about one radiograph, independent of any version.

    Attributes:
        tasks: the tasks to answer; empty means every task that the version offers, grounding
            only if there is a phrase.
        phrases: phrases to ground, as the client wrote them.
        method: grounding method, or None for the first one that the version offers.
        uncertainty: also answer for harmless changes of the image, and compare.
    """

    tasks: tuple[Task, ...] = ()
    phrases: tuple[str, ...] = ()
    method: str | None = None
    uncertainty: bool = False


@dataclass(frozen=True)
class Plan:
    """A request that one version can answer.

    Attributes:
        heads: the heads to run, by name, in the order of the answer, and those of checks.
        tasks: the tasks to answer; one whose heads find nothing has an empty answer.
        phrases: normalised phrases for the heads that read them.
        views: harmless changes of the image that are answered too; empty without `uncertainty`.
    """

    heads: dict[str, HeadSpec]
    tasks: tuple[Task, ...]
    phrases: tuple[str, ...]
    views: tuple[View, ...] = ()


@dataclass(frozen=True, eq=False)
class BatchItem:
    """One decoded radiograph that waits for its batch.

    Attributes:
        tensor: 1 x size x size, float32.
        plan: the heads to run.
        phrase_features: features of the plan's phrases, P x D, or None without phrases.
        deadline: deadline of the request.
        request_id: identifies the request to a remote runtime; may be empty.
        alone: True if no other request was in progress when the item was queued.
    """

    tensor: FloatArray
    plan: Plan
    phrase_features: FloatArray | None
    deadline: Deadline
    request_id: str = ""
    alone: bool = True


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """Outputs of the graphs for one radiograph, without a batch axis.

    Attributes:
        heads: head -> its outputs by name.
        global_features: global features of the trunk, D.
        timings_ms: `trunk` and `heads`, each for the whole batch.
    """

    heads: dict[str, Features]
    global_features: FloatArray
    timings_ms: dict[str, float]


@dataclass(frozen=True, eq=False)
class Inferred:
    """A radiograph after inference; `Analysis.complete` makes a result of it.

    Attributes:
        plan: the heads that ran.
        decoded: the model's input, and the facts about the image.
        raw: outputs of the graphs.
        timings_ms: time spent so far, by stage.
        started: time at which the analysis started, by `time.perf_counter`.
        views: each view of the image, and the outputs of the graphs for it.
    """

    plan: Plan
    decoded: DecodedImage
    raw: RawOutputs
    timings_ms: dict[str, float]
    started: float
    views: tuple[tuple[DecodedImage, RawOutputs], ...] = ()
