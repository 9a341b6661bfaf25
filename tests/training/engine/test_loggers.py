"""Experiment loggers: what they record, resuming, and optional packages."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from training.config.engine import EngineConfig
from training.engine import loggers
from training.refusal import RunRefused


def _events(folder: Path) -> list[Any]:
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:  # length, its checksum, event, its checksum
            size = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def test_tensorboard_keeps_values_and_panels_of_their_steps(tmp_path: Path) -> None:
    log = loggers.open_logger("tensorboard", tmp_path, 0, {"seed": 3})
    log.log_scalars(5, {"total": 1.5})
    log.log_image(5, np.zeros((4, 16, 3), np.uint8))
    log.close()
    values = [(e.step, v) for e in _events(tmp_path) for v in e.summary.value]
    scalars = [(step, v.tag, v.simple_value) for step, v in values if v.tag == "total"]
    assert scalars == [(5, "total", 1.5)]
    assert [(v.image.height, v.image.width) for _, v in values if v.tag == loggers.PANEL] == [
        (4, 16)
    ]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_that_is_not_installed_names_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunRefused, match=rf"g2d-radiograph\[{name}\]"):
        loggers.open_logger(name, tmp_path, 0, {})


class _Calls(ModuleType):
    """A module that records its calls; runs have the id `r1`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named))
            return SimpleNamespace(
                info=SimpleNamespace(run_id="r1"), id="r1", log=self.log, finish=self.finish
            )

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, named) for called, args, named in self.calls if called == name]


@pytest.mark.parametrize(
    ("name", "begin", "key"), [("mlflow", "start_run", "run_id"), ("wandb", "init", "id")]
)
def test_a_resumed_run_continues_in_the_same_place(
    name: str, begin: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed: the fake stands for it only where it is not")
    fake = _Calls(name)
    monkeypatch.setitem(sys.modules, name, fake)
    for start in (0, 4):
        log = loggers.open_logger(name, tmp_path, start, {"seed": 3})
        log.log_scalars(start + 1, {"total": 1.5})
        log.log_image(start + 1, np.zeros((4, 16, 3), np.uint8))
        log.close()
    assert [named[key] for _, named in fake.of(begin)] == [None, "r1"]
    told = fake.of("log_metrics" if name == "mlflow" else "log")
    assert ({"total": 1.5},) in [args for args, _ in told]
    assert {named["step"] for _, named in told} == {1, 5}


def test_panels_of_a_sharded_model_are_refused() -> None:
    with pytest.raises(ValueError, match="set picture_every to 0"):
        EngineConfig(strategy="fsdp", picture_every=5)
