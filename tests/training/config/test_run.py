"""Addresses of shards, and keys that exclude each other."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.config.files import describe_error
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig


@pytest.mark.parametrize("address", ["s3://bucket/set", "s3://bucket/a/b", "/mnt/set", "set"])
def test_folders_and_objects_are_addresses(address: str) -> None:
    assert DataConfig(root=Path(), tables=("a",), shards=address).shards == address


@pytest.mark.parametrize(
    "address",
    ["", "s3://bucket", "s3://bucket/", "s3:///set", "gs://bucket/set", "file:///set"],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="shards"):
        DataConfig(root=Path(), tables=("a",), shards=address)


@pytest.mark.parametrize("address", ["s3://key:hush@bucket/set", "s3://bucket/set?secret=hush"])
def test_credentials_in_an_address_are_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DataConfig(root=Path(), tables=("a",), shards=address)
    described = describe_error(refused.value)
    assert "holds no credentials" in described
    assert "hush" not in described


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data": {"window_shards": 2}}, "window_shards needs shards"),
        (
            {"data": {"window_shards": 2, "shards": "set"}, "engine": {"bucket": 4}},
            "without data.window_shards only",
        ),
    ],
)
def test_keys_that_exclude_each_other(keys: dict[str, Any], message: str) -> None:
    data = {"root": ".", "tables": ["a"], **keys["data"]}
    config = {"kind": "pretrain", "epochs": 1, "batch_size": 2, "model": {}} | keys
    with pytest.raises(ValidationError, match=message):
        PretrainConfig.model_validate(config | {"data": data})
