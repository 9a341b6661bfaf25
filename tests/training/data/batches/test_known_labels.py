"""Labels of a run and what its tables tell about them, before anything is read."""

from pathlib import Path

import pytest

from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.decoder_runs import changed
from training.config.finetune import FinetuneConfig
from training.data.batches.known_labels import codes_of, refuse_unknown_labels
from training.refusal import RunRefused


@pytest.fixture
def config(text_encoder: Path, tmp_path: Path) -> FinetuneConfig:
    """Every head, on eight rows of the Kermany set."""
    return tiny_runs.finetune_config(tmp_path, tiny_runs.model_config(text_encoder))


def test_all_unknown_labels_are_named_with_what_was_found(config: FinetuneConfig) -> None:
    refuse_unknown_labels(config)
    wrong = changed(config, findings=("Effusion",), masks=("Heart", "Left lung"), boxes=("Rib",))
    with pytest.raises(RunRefused) as refused:
        refuse_unknown_labels(wrong)
    message = str(refused.value)
    assert "findings: Effusion; findings in the data: Bacterial pneumonia, " in message
    assert "masks: Heart; masks in the data: Left lung, Right lung" in message
    assert "boxes: Rib; boxes in the data: Left lung, Lung opacity, Right lung" in message
    assert message.endswith("(training rows of kermany_224: 8)")


def test_codes_are_those_of_the_configuration_then_of_the_data(config: FinetuneConfig) -> None:
    def code(value: str) -> dict[str, str]:
        return {"scheme": "99OWN", "value": value, "meaning": "own"}

    own = {"Left lung": {"code": code("data")}, "Right lung": {"code": code("data")}}
    data = config.data.model_dump() | {"descriptions": {"kermany_224": {"masks": own}}}
    given = changed(config, data=data, codes={"Left lung": code("run")})
    assert {name: each.value for name, each in codes_of(given).items()} == {
        "Left lung": "run",
        "Right lung": "data",
    }
    with pytest.raises(ValueError, match="codes: no such labels: Heart"):
        changed(config, codes={"Heart": code("run")})
