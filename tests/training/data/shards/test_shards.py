"""Shards hold what the cache holds, in a folder and in S3; damaged ones are refused."""

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.builders.files.s3_server import ADDRESS, SECRETS, s3_server
from tests.builders.training.sets.sharded_sets import (
    SPEC,
    ShardedSet,
    replace_file,
    sharded,
    stored,
)
from training.data.shards import store
from training.data.shards.manifest import MANIFEST
from training.data.shards.open_rows import check_shards, read_manifest
from training.data.shards.store import open_store
from training.data.shards.write import check_target, write_shards
from training.refusal import RunRefused


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with s3_server():
        yield


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "set")
    return f"{ADDRESS}/{tmp_path.name}"


@pytest.fixture
def written(address: str, tmp_path: Path) -> ShardedSet:
    return sharded(tmp_path, address)


def test_shards_hold_the_rows_of_the_cache(written: ShardedSet, tmp_path: Path) -> None:
    found, cache = written.open(tmp_path / "local"), written.cache
    assert len(written.manifest.shards) == 4  # 5, 5, 5 and 1 rows
    assert (found.images.shape, found.masks.shape) == (cache.images.shape, cache.masks.shape)
    assert list(found.samples) == list(cache.samples)
    assert (found.structures, found.left_out) == (cache.structures, cache.left_out)
    assert any(cache.masks[row].any() for row in range(16))
    for row in range(16):
        assert np.array_equal(found.images[row], cache.images[row])
        assert np.array_equal(found.masks[row], cache.masks[row])
    assert found.shard_of is not None
    assert sorted(np.bincount(found.shard_of)) == [1, 5, 5, 5]
    assert list(found.shard_of) != sorted(found.shard_of)  # neighbours are spread over shards


def test_litdata_reads_the_same_records(tmp_path: Path) -> None:
    from litdata import StreamingDataset

    address = str(tmp_path / "set")
    cache = sharded(tmp_path, address).cache
    row_of = np.argsort(np.load(tmp_path / "set" / "places.npy"))
    records = StreamingDataset(address, shuffle=False)
    assert len(records) == 16
    for place, row in enumerate(row_of.tolist()):
        assert bytes(records[place])[: SPEC.size_px**2] == cache.images[row].tobytes()


def test_the_bytes_of_shards_are_a_function_of_the_cache(tmp_path: Path) -> None:
    one = sharded(tmp_path, str(tmp_path / "one"))
    other = sharded(tmp_path, str(tmp_path / "other"))
    assert one.manifest.shards == other.manifest.shards
    assert len({file.sha256 for file in one.manifest.shards}) == 4


def test_shards_of_the_same_cache_are_left_as_they_are(
    written: ShardedSet, address: str, tmp_path: Path
) -> None:
    replace_file(address, "chunk-0-1.bin", None)
    again = write_shards(written.cache, written.config, SPEC, address)
    assert again == written.manifest
    with pytest.raises(RunRefused, match=r"chunk-0-1\.bin is missing"):
        [written.open(tmp_path / "local").images[row] for row in range(16)]
    write_shards(written.cache, written.config, SPEC, address, again=True)
    assert np.array_equal(written.open(tmp_path / "local").images[3], written.cache.images[3])


def test_shards_of_other_rows_are_not_replaced(
    written: ShardedSet, address: str, tmp_path: Path
) -> None:
    before = stored(address, MANIFEST)
    with pytest.raises(RunRefused, match="shards of other files"):
        sharded(tmp_path / "others", address, count=12)
    other = SPEC.model_copy(update={"size_px": 96})
    with pytest.raises(RunRefused, match=r"written with preprocess.size_px: 64, .* has 96"):
        check_target(address, written.config, other)
    assert stored(address, MANIFEST) == before


def test_a_set_without_manifest_is_incomplete(written: ShardedSet, address: str) -> None:
    replace_file(address, MANIFEST, None)
    with pytest.raises(RunRefused, match="holds no complete shards; write them with g2d prepare"):
        check_shards(written.config, SPEC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: None, "chunk-0-2.bin is missing"),
        (lambda content: content[:-7], r"chunk-0-2.bin has \d+ bytes instead of \d+"),
        (lambda content: content[:-1] + b"?", "chunk-0-2.bin was changed after it was written"),
    ],
    ids=["missing", "truncated", "changed"],
)
def test_a_damaged_shard_is_refused(
    written: ShardedSet,
    address: str,
    tmp_path: Path,
    change: Callable[[bytes], bytes | None],
    message: str,
) -> None:
    found = written.open(tmp_path / "local")
    replace_file(address, "chunk-0-2.bin", change(stored(address, "chunk-0-2.bin")))
    assert found.shard_of is not None
    for row, shard in enumerate(found.shard_of):
        if shard == 2:
            with pytest.raises(RunRefused, match=message) as refused:
                found.images[row]
            assert address in str(refused.value)
            assert "\n" not in str(refused.value)
        else:
            assert np.array_equal(found.images[row], written.cache.images[row])
    assert not list((tmp_path / "local").rglob("*.partial"))


@pytest.mark.parametrize("name", ["rows.jsonl", "places.npy"])
def test_changed_samples_are_refused(
    written: ShardedSet, address: str, tmp_path: Path, name: str
) -> None:
    replace_file(address, name, stored(address, name)[:-1] + b"!")
    with pytest.raises(RunRefused, match=f"{name} was changed"):
        written.open(tmp_path / "local")


def test_a_damaged_local_copy_is_fetched_again(tmp_path: Path) -> None:
    written = sharded(tmp_path, f"{ADDRESS}/{tmp_path.name}")
    [written.open(tmp_path / "local").images[row] for row in range(16)]
    for number, path in enumerate(sorted((tmp_path / "local").rglob("*.bin"))):
        path.write_bytes(b"?" * (path.stat().st_size - number % 2))
    found = written.open(tmp_path / "local")
    for row in range(16):
        assert np.array_equal(found.images[row], written.cache.images[row])


def test_fetched_shards_stay_within_the_limit(tmp_path: Path) -> None:
    written = sharded(tmp_path, f"{ADDRESS}/{tmp_path.name}", rows_per_shard=2)
    largest = max(file.size for file in written.manifest.shards)
    found = written.open(tmp_path / "local", limit=3 * largest)
    for row in [*range(16), *reversed(range(16))]:
        assert np.array_equal(found.images[row], written.cache.images[row])
        kept = sum(path.stat().st_size for path in (tmp_path / "local").rglob("*.bin"))
        assert 0 < kept <= 3 * largest


def test_a_store_that_cannot_be_used_is_one_line_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(store, "_ATTEMPTS", 1)  # nothing better would come of the others
    absent = "s3://no-such-bucket/set"
    with pytest.raises(RunRefused, match=f"{absent} answers NoSuchBucket for chunk"):
        open_store(absent).put(Path(__file__), "chunk")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(RunRefused, match=r"cannot be used \(EndpointConnectionError\)") as no:
            read_manifest(open_store(ADDRESS), ADDRESS)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(RunRefused, match=r"cannot be used \(NoCredentialsError\)"):
        read_manifest(open_store(ADDRESS), ADDRESS)
    assert no.value.__cause__ is None
    assert no.value.__suppress_context__
    for secret in SECRETS.values():
        assert secret not in caplog.text + str(no.value)
