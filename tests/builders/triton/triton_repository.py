"""Readers of a model repository of Triton, as the tests compare it."""

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


def config(out: Path, name: str) -> Any:
    """Read a `config.pbtxt` with Triton's own schema."""
    text = (out / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def versions_of(out: Path, name: str) -> list[str]:
    return sorted(path.name for path in (out / name).iterdir() if path.is_dir())
