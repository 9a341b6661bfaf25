"""The variant that answers: chosen by setting and speed, verified, and never without float32."""

from collections.abc import Collection
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest, Precision
from radiograph.repository.repository import Repository
from service.backends.base import BackendOutputs, FloatArray
from service.backends.ort.backend import OrtBackend
from service.registry.loading.loader import VersionLoader
from service.registry.loading.variants import Choice, Variants, gain
from service.settings import LimitSettings
from tests.builders.models.versions import tiny_variant, tiny_version
from tests.builders.service.backends.ort_graphs import graph_cache


class Machine:
    """A processor with a clock of its own, on which a run takes the time that a test says."""

    def __init__(self, int8_s: float = 0.5, provider: str = "CPUExecutionProvider") -> None:
        self.seconds = {"trunk.onnx": 1.0, tiny_variant.TRUNK: int8_s}
        self.provider = provider
        self.now = 0.0
        self.open: list[str] = []
        self.refused: list[Precision] = []

    def backend(self, folder: Path, manifest: ModelManifest) -> "TimedBackend":
        """Build a backend, which is open from now on."""
        return TimedBackend(folder, manifest, self)

    def choose(self, root: Path, choice: Choice) -> Precision:
        """Open version 1 and return the precision that answers; only its backend stays open."""
        repository = Repository(root)
        repository.verify("tiny", 1)
        manifest, folder = repository.load_manifest("tiny", 1), repository.folder("tiny", 1)
        variants = Variants(folder, manifest, self.backend, self.refused.append, lambda: self.now)
        backend, precision = variants.open(choice)
        assert self.open == [manifest.in_precision(precision).trunk.file]
        backend.close()
        return precision


class TimedBackend(OrtBackend):
    """A backend that moves the clock of its machine."""

    def __init__(self, folder: Path, manifest: ModelManifest, machine: Machine) -> None:
        super().__init__(folder, manifest, graph_cache())
        self.file, self.machine = manifest.trunk.file, machine
        machine.open.append(self.file)

    @property
    def providers(self) -> tuple[str, ...]:
        return (self.machine.provider,)

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        self.machine.now += self.machine.seconds[self.file]
        return super().infer(image, heads, phrase_features)

    def close(self) -> None:
        self.machine.open.remove(self.file)
        super().close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose version 1 has an int8 variant."""
    root = tmp_path_factory.mktemp("variants")
    tiny_variant.publish(root)
    return root


@pytest.mark.parametrize(
    ("int8_s", "chosen"), [(0.5, "int8"), (0.9, "int8"), (0.92, "float32"), (2.0, "float32")]
)
def test_auto_chooses_the_variant_that_gains_by_the_clock(
    models: Path, int8_s: float, chosen: Precision
) -> None:
    assert [Machine(int8_s).choose(models, "auto") for _ in range(2)] == [chosen, chosen]


def test_a_setting_chooses_whatever_the_speed(models: Path) -> None:
    assert Machine(int8_s=2.0).choose(models, "int8") == "int8"
    assert Machine(int8_s=0.5).choose(models, "float32") == "float32"


def test_a_gpu_computes_in_float32_unless_a_setting_says_otherwise(models: Path) -> None:
    assert Machine(provider="CUDAExecutionProvider").choose(models, "auto") == "float32"


@pytest.mark.parametrize("choice", ["auto", "int8"])
def test_a_version_without_variants_answers_in_float32(tiny_models: Path, choice: Choice) -> None:
    machine = Machine()
    assert machine.choose(tiny_models, choice) == "float32"
    assert machine.refused == []


@pytest.mark.parametrize("choice", ["auto", "int8"])
def test_float32_answers_where_a_variant_computes_otherwise_than_recorded(
    tmp_path: Path, choice: Choice, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_variant.publish(tmp_path, change=tiny_variant.shift_golden)
    machine = Machine()
    assert machine.choose(tmp_path, choice) == "float32"
    assert machine.refused == ["int8"]
    assert "tiny/1: float32 answers, not int8: golden outputs: `findings.logits`" in caplog.text


FAULTS = {
    "other inputs": (tiny_variant.swap_graph, "reads"),
    "another shape": (tiny_variant.change_golden_shape, r"is \(1, 2\), not \(1, 1\)"),
    "no graph": (tiny_variant.break_graph, "not a usable graph"),
}


@pytest.mark.parametrize("choice", ["auto", "int8"])
@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_damaged_variant_makes_the_version_invalid(
    tmp_path: Path, change: tiny_version.Change, reason: str, choice: Choice
) -> None:
    tiny_variant.publish(tmp_path, change=change)
    machine = Machine()
    with pytest.raises(InvalidVersion, match=reason):
        machine.choose(tmp_path, choice)
    assert (machine.open, machine.refused) == ([], [])


@pytest.mark.parametrize("file", [tiny_variant.TRUNK, tiny_variant.GOLDEN])
def test_a_missing_or_altered_file_of_a_variant_makes_the_version_invalid(
    tmp_path: Path, file: str
) -> None:
    tiny_variant.publish(tmp_path)
    path = tmp_path / "tiny/1" / file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InvalidVersion, match=f"{file} does not have the digest"):
        Machine().choose(tmp_path, "float32")
    path.unlink()
    with pytest.raises(InvalidVersion, match=f"files are missing: {file}"):
        Machine().choose(tmp_path, "float32")


def test_the_loaded_version_names_the_variant_that_answers(models: Path) -> None:
    machine = Machine()
    repository = Repository(models)
    loader = VersionLoader(repository, machine.backend, LimitSettings(), variant="int8")
    opened = loader.load("tiny", 1)
    assert opened.analysis.identity.variant == "int8"
    assert opened.analysis.manifest == repository.load_manifest("tiny", 1)
    opened.close()
    assert machine.open == []


def test_the_gain_is_that_of_the_fastest_runs() -> None:
    """A pause of the machine in one run changes nothing."""
    ticks = iter([0, 4, 4, 6, 6, 10, 10, 109, *(12, 16, 16, 18) * 3])
    assert gain(lambda: None, lambda: None, lambda: float(next(ticks))) == 2.0
