"""A ground head whose raw outputs for each phrase are written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, PhraseRule, Task
from training.data.rows.reader import Row
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import Raw, TrainedModel
from training.metrics.arrays import FloatArray

SIDE_PX = 64
CELLS = 8
COLD = -9.0


@dataclass
class _Texts:
    """Text side of a model: a phrase is encoded as its number."""

    known: list[str] = field(default_factory=list)

    def text(self, phrases: Sequence[str]) -> FloatArray:
        self.known += phrases
        first = len(self.known) - len(phrases)
        return np.arange(first, len(self.known), dtype=np.float32)[:, None]


@dataclass(frozen=True)
class ScriptedHead(EvaluatedHead):
    """Answers a phrase with the raw outputs that a radiograph's row has of it.

    Attributes:
        script: image -> phrase -> presence and map; other phrases are absent and cold.
    """

    script: Mapping[str, Mapping[str, tuple[float, FloatArray]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        script: Mapping[str, Mapping[str, tuple[float, FloatArray]]],
        rule: PhraseRule | None = None,
    ) -> "ScriptedHead":
        spec = HeadSpec(
            kind=Task.GROUND, file="h.onnx", inputs=("deep",), method="aligned", phrase_rule=rule
        )
        return cls(cast("TrainedModel", _Texts()), "regions", spec, script)

    def phrase_outputs(self, prediction: Prediction, phrases: FloatArray) -> Raw:
        known = cast("_Texts", self.model).known
        answers = self.script.get(prediction.row.image, {})
        absent = COLD, heat()
        found = [answers.get(known[int(number)], absent) for number in phrases[:, 0]]
        return {
            "logits": np.stack([logits for _, logits in found]),
            "presence": np.array([presence for presence, _ in found], dtype=np.float32),
        }


def heat(*places: tuple[slice, slice], value: float = 4.0) -> FloatArray:
    """A map of 8 x 8 cells of 8 pixels, warm in some places."""
    logits = np.full((CELLS, CELLS), COLD, dtype=np.float32)
    for place in places:
        logits[place] = value
    return logits


def radiograph(
    image: str,
    findings: Mapping[str, bool] | None = None,
    boxes: Mapping[str, list[Box]] | None = None,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Prediction:
    """A radiograph of 64 x 64 pixels of its own patient, with what is known of it."""
    row = Row(
        table="set", image=image, patient_id=image, split="valid", text="", labels=(), view="PA",
        sex="", age="", licence="", licence_class="open", findings=dict(findings or {}),
    )  # fmt: skip
    geometry = Geometry.fit(SIDE_PX, SIDE_PX, SIDE_PX)
    counted = np.ones((SIDE_PX, SIDE_PX), dtype=bool)
    return Prediction(row, geometry, dict(masks or {}), counted, dict(boxes or {}), {})
