"""Names and shapes of graphs are checked before anything is rendered."""

from dataclasses import replace
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.golden import read_arrays
from service.backends.triton import graph_models
from service.backends.triton.repository_view import render


@pytest.mark.parametrize("name", ["../../escape", "a/b", "nul\0", "trunk", "text", "x" * 300])
def test_the_name_of_a_head_cannot_choose_another_folder(
    own: Path, out: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = Repository(own).verify("tiny", 1)
    heads = {name: verified.manifest.heads["findings"]}
    changed = replace(verified, manifest=verified.manifest.model_copy(update={"heads": heads}))
    monkeypatch.setattr(Repository, "verify", lambda *_: changed)
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    shapes[f"{name}.logits"] = shapes["findings.logits"]
    monkeypatch.setattr(graph_models, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match=r"not a valid name|must not be called"):
        render(Repository(own), out)
    assert not out.exists()


def test_two_triton_models_with_the_same_name_are_refused(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (own / "tiny" / "1" / "manifest.json").read_text()
    manifest = ModelManifest.from_json(text.replace('"findings"', '"classify"'))
    changed = replace(Repository(own).verify("tiny", 1), manifest=manifest)
    monkeypatch.setattr(Repository, "verify", lambda *_: changed)
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    shapes["classify.logits"] = shapes["findings.logits"]
    monkeypatch.setattr(graph_models, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match="two Triton models would be called tiny-classify"):
        render(Repository(own), out)


def test_a_tensor_that_the_golden_outputs_lack_is_named(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    del shapes["trunk.decoder_4"]
    monkeypatch.setattr(graph_models, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match=r"tiny/1: .*`trunk\.decoder_4` is missing"):
        render(Repository(own), out)
