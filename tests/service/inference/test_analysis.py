"""One version answers one radiograph, alone in a thread or in batches on the event loop."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import MalformedInput
from radiograph.manifest import HeadSpec, Label, PhraseRule, Task
from radiograph.readers.read import DICOM
from radiograph.repository.repository import Repository
from service.backends.ort.backend import OrtBackend
from service.deadline import Deadline
from service.decoding.pool import DecoderPool
from service.errors import DeadlineExceeded
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult, ModelIdentity
from service.inference.types import AnalysisRequest
from service.observability.observer import NullObserver
from service.scheduling.admission import Admission
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import BatchingSettings, LimitSettings
from tests.builders.files import sample_files
from tests.builders.models.versions import tiny_version
from tests.builders.service.backends.ort_graphs import graph_cache

REQUEST = AnalysisRequest(phrases=("bright",))


class Statistics(NullObserver):
    """Records the statistics of inputs and outputs."""

    def __init__(self) -> None:
        self.inputs: list[dict[str, float]] = []
        self.outputs: list[dict[str, float]] = []

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        self.inputs.append(dict(values))

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        self.outputs.append(dict(values))


def analysis_of(
    root: Path,
    batcher: DynamicBatcher | None = None,
    more_heads: Mapping[str, HeadSpec] | None = None,
) -> Analysis:
    repository = Repository(root)
    folder, manifest = repository.folder("tiny", 1), repository.load_manifest("tiny", 1)
    manifest = manifest.model_copy(update={"heads": {**manifest.heads, **(more_heads or {})}})
    backend = OrtBackend(folder, manifest, graph_cache())
    identity = ModelIdentity("tiny", 1, "0" * 64)
    return Analysis(identity, manifest, folder, backend, LimitSettings(), batcher)


@pytest.fixture
def analysis(tiny_models: Path) -> Iterator[Analysis]:
    analysis = analysis_of(tiny_models)
    yield analysis
    analysis.close()


@pytest.fixture
def statistics() -> Statistics:
    return Statistics()


@pytest.fixture
def batched(tiny_models: Path, statistics: Statistics) -> Iterator[Analysis]:
    batcher = DynamicBatcher(BatchingSettings(workers=1, max_batch=4), statistics)
    analysis = analysis_of(tiny_models, batcher)
    yield analysis
    analysis.close()
    batcher.close()


@pytest.fixture
def admission() -> Iterator[Admission]:
    admission = Admission(BatchingSettings(), LimitSettings())
    yield admission
    admission.close()


def test_the_results_are_in_source_pixels(analysis: Analysis, rectangle_dicom: bytes) -> None:
    result = analysis.run_here(REQUEST, rectangle_dicom)
    assert (result.image.rows, result.image.columns) == (160, 120)
    assert result.masks is not None
    (left, _) = result.masks
    assert left.mask.shape == (160, 120)
    assert left.box == pytest.approx((20, 40, 60, 80), abs=5)


def test_a_task_that_was_not_asked_for_is_absent(
    analysis: Analysis, rectangle_dicom: bytes
) -> None:
    result = analysis.run_here(AnalysisRequest((Task.CLASSIFY,)), rectangle_dicom)
    assert result.findings is not None
    assert (result.masks, result.detections, result.groundings) == (None, None, None)
    assert result.measurements is None


@pytest.mark.parametrize(
    ("view", "warnings"), [("PA", ["cut_off"]), ("AP", ["view_not_pa", "cut_off"])]
)
def test_the_heart_is_measured_against_the_lungs(
    tiny_models: Path, view: str, warnings: list[str]
) -> None:
    """The left lung and the heart are what is bright; the right lung is the rest of the image."""
    bright = sample_files.bright_rectangle(160, 120, (30, 40, 90, 80))
    heart = tiny_version.HEADS["anatomy"].model_copy(
        update={"labels": (Label(name="Heart"), Label(name="Elsewhere"))}
    )
    analysis = analysis_of(tiny_models, more_heads={"heart": heart})
    request = AnalysisRequest((Task.SEGMENT,))
    result = analysis.run_here(request, sample_files.dicom_file(bright, ViewPosition=view))
    assert result.measurements is not None
    (ratio,) = result.measurements
    assert ratio.value == pytest.approx(60 / 120, abs=0.05)
    assert [warning.partition(":")[0] for warning in ratio.warnings] == warnings
    lateral = sample_files.dicom_file(bright, ViewPosition="LL")
    assert analysis.run_here(request, lateral).measurements == ()
    analysis.close()


@pytest.mark.parametrize("phrase", ["胸水", "قلب", "🍌", "banana"])
def test_with_a_rule_only_what_the_image_shows_is_found(
    tiny_models: Path, rectangle_dicom: bytes, phrase: str
) -> None:
    rule = PhraseRule(scale=1, offset=0, threshold=0.2, box_threshold=0.5)
    regions = tiny_version.HEADS["regions"].model_copy(update={"phrase_rule": rule})
    analysis = analysis_of(tiny_models, more_heads={"regions": regions})
    request = AnalysisRequest((Task.GROUND,), phrases=("dark", phrase))
    result = analysis.run_here(request, rectangle_dicom)
    analysis.close()
    assert result.groundings is not None
    shown, foreign = result.groundings
    assert shown.presence is not None
    assert (shown.presence.found, len(shown.boxes)) == (True, 1)
    assert foreign.presence is not None
    assert (foreign.presence.found, foreign.peak, foreign.boxes) == (False, None, ())


def test_a_task_that_finds_nothing_is_empty(analysis: Analysis) -> None:
    black = sample_files.png_file(np.zeros((64, 64), np.uint16))
    result = analysis.run_here(AnalysisRequest((Task.DETECT,)), black)
    assert result.detections == ()


def test_the_stages_are_timed_in_their_order(analysis: Analysis, rectangle_dicom: bytes) -> None:
    result = analysis.run_here(REQUEST, rectangle_dicom)
    assert list(result.timings_ms) == ["read", "preprocess", "trunk", "heads", "results", "total"]
    parts = [value for stage, value in result.timings_ms.items() if stage != "total"]
    assert sum(parts) <= result.timings_ms["total"]


@pytest.mark.parametrize(("preview_px", "shape"), [(None, None), (80, (80, 60))])
def test_a_preview_is_made_only_where_one_is_asked_for(
    analysis: Analysis,
    rectangle_dicom: bytes,
    preview_px: int | None,
    shape: tuple[int, int] | None,
) -> None:
    result = analysis.run_here(REQUEST, rectangle_dicom, preview_px=preview_px)
    assert (None if result.preview is None else result.preview.shape) == shape


def test_a_file_at_fault_is_an_error_of_the_input(analysis: Analysis) -> None:
    with pytest.raises(MalformedInput):
        analysis.run_here(REQUEST, b"garbage", DICOM)


async def run(
    analysis: Analysis, admission: Admission, decoders: DecoderPool, data: bytes, seconds: float
) -> AnalysisResult:
    with admission.acquire(Deadline(seconds), "analyze") as permit:
        plan = analysis.plan(REQUEST)
        request = analysis.decode_request(data, DICOM)
        return await analysis.run(plan, request, decoders, permit, analysis.complete)


async def test_a_batch_answers_as_the_calling_thread_does(
    analysis: Analysis,
    batched: Analysis,
    admission: Admission,
    decoders: DecoderPool,
    rectangle_dicom: bytes,
) -> None:
    result = await run(batched, admission, decoders, rectangle_dicom, seconds=60)
    expected = analysis.run_here(REQUEST, rectangle_dicom)
    assert result.findings == expected.findings
    assert result.detections == expected.detections
    assert result.out_of_domain == expected.out_of_domain
    assert set(result.timings_ms) - set(expected.timings_ms) == {"text", "queue"}


async def test_statistics_of_inputs_and_outputs_are_reported(
    batched: Analysis,
    admission: Admission,
    decoders: DecoderPool,
    rectangle_dicom: bytes,
    statistics: Statistics,
) -> None:
    result = await run(batched, admission, decoders, rectangle_dicom, seconds=60)
    (inputs,), (outputs,) = statistics.inputs, statistics.outputs
    assert result.out_of_domain is not None
    assert inputs["out_of_domain"] == result.out_of_domain.score
    assert set(inputs) == {"mean", "std", "out_of_domain"}
    assert set(outputs) == {"Lung opacity", "No finding"}


async def test_a_request_whose_deadline_has_passed_is_given_up(
    batched: Analysis, admission: Admission, decoders: DecoderPool, rectangle_dicom: bytes
) -> None:
    with pytest.raises(DeadlineExceeded):
        await run(batched, admission, decoders, rectangle_dicom, seconds=0)


async def test_an_analysis_without_a_batcher_runs_only_here(
    analysis: Analysis, admission: Admission, decoders: DecoderPool, rectangle_dicom: bytes
) -> None:
    with pytest.raises(RuntimeError, match="no batcher"):
        await run(analysis, admission, decoders, rectangle_dicom, seconds=60)
