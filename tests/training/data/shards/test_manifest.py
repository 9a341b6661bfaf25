"""Manifests that no writer of ours has written are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig
from training.data.shards.manifest import Manifest, StoredFile, parse_manifest, selection
from training.refusal import RunRefused

CONFIG = DataConfig(root=Path("here"), tables=("a", "b"))
FILE = StoredFile(name="chunk-0-0.bin", size=1, sha256="0" * 64)
GOOD = Manifest(
    cache="key",
    selection=selection(CONFIG),
    preprocess=PreprocessSpec(),
    rows=3,
    rows_per_shard=3,
    shards=(FILE,),
    files=(FILE,),
)


def _with(**changes: Any) -> bytes:
    return json.dumps(GOOD.model_dump(mode="json") | changes).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Invalid JSON"),
        (b"{}", "cache: Field required"),
        (_with(version=2), "version"),
        (_with(rows=4), "the number of shards does not fit the number of rows"),
        (_with(rows=0), "rows"),
        (_with(files=[{"name": "../../x", "size": 1, "sha256": "0" * 64}]), "String should match"),
        (_with(files=[{"name": "x", "size": 1, "sha256": "?"}]), "String should match"),
    ],
)
def test_a_malformed_manifest_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(RunRefused, match=message) as refused:
        parse_manifest(content, "/set")
    assert "/set: shards.json is unusable" in str(refused.value)


def test_a_manifest_survives_its_file() -> None:
    assert parse_manifest(GOOD.model_dump_json().encode(), "/set") == GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": ("a",)}, r"written with data.tables: \['a', 'b'\], .* has \['a'\]"),
        ({"licences": ("noncommercial",)}, r"data.licences: \['open'\]"),
        ({"protocol": "mgca"}, "data.protocol: sound"),
    ],
)
def test_another_selection_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunRefused, match=message):
        GOOD.check_selection("/set", CONFIG.model_copy(update=change), PreprocessSpec())


def test_the_place_of_the_data_does_not_count() -> None:
    moved = CONFIG.model_copy(update={"root": Path("there"), "shards": "/set", "window_shards": 3})
    GOOD.check_selection("/set", moved, PreprocessSpec())
