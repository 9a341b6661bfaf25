"""Tables of probes as a whole: filled, killed and resumed, and compared with their steps."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.engine.killing import killed_at_its_first_checkpoint
from tests.builders.training.sets import tiny_tables
from training.config.experiments import DecoderStart, TablesConfig
from training.data.cache.cache import open_cache
from training.experiments.plan import (
    Cell,
    TableJob,
    TableRequest,
    arm_pretraining,
    cells,
    probed_tasks,
)
from training.experiments.probes import EncodedTables, build_probe, probe_decoder, probe_linear
from training.experiments.result_store import Result, ResultFolder, sha256
from training.experiments.run import Missing, run, undone
from training.finetune.frozen_features import fresh_unet, read_unet


@pytest.fixture(scope="module")
def job(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> TableJob:
    """Two arms, one seed, two fractions: ten cells."""
    root = tmp_path_factory.mktemp("tables")
    tiny_tables.write_set(root)
    return tiny_tables.ablation_job(root, text_encoder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def filled(job: TableJob, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results, computed without a stop."""
    out = tmp_path_factory.mktemp("ablation") / "run"
    assert [type(found) for found in run(job, out, cache)] == [Result] * 10
    return out


def _random_only(job: TableJob) -> TableJob:
    """The rows that need no pre-training."""
    table = job.table.model_copy(update={"rows": {"random": job.table.rows["random"]}, "pairs": ()})
    return replace(job, config=job.config.model_copy(update={"tables": {"ablation": table}}))


def _results(job: TableJob, out: Path) -> list[Result]:
    """The results without the time that they took."""
    found = [ResultFolder(out).result(cell) for cell in cells(job)]
    return [replace(result, seconds=0.0) for result in found if result]


def test_an_ablation_computes_every_cell(job: TableJob, filled: Path) -> None:
    assert [cell.name for cell in cells(job)] == [
        "lungs-pseudo-sound-new-0.5-s0",
        "lungs-pseudo-sound-new-1-s0",
        "lungs-pseudo-sound-transferred-0.5-s0",
        "lungs-pseudo-sound-transferred-1-s0",
        "pneumonia-pseudo-sound-0.5-s0",
        "pneumonia-pseudo-sound-1-s0",
        "lungs-random-sound-0.5-s0",
        "lungs-random-sound-1-s0",
        "pneumonia-random-sound-0.5-s0",
        "pneumonia-random-sound-1-s0",
    ]
    digest = sha256(filled / "pretrain" / "pseudo-0" / "last.ckpt")
    for cell, result in zip(cells(job), _results(job, filled), strict=True):
        assert result.probe
        assert result.probe.labels == (6 if cell.fraction == 0.5 else 12)
        assert [m.n for m in result.found.values()] == [4]
        assert result.checkpoint == ("" if cell.start == "random" else digest)


@pytest.mark.parametrize("start", ["random", "pseudo"])
def test_a_figure_of_the_runner_is_that_of_its_steps(
    job: TableJob, filled: Path, cache: Path, start: str
) -> None:
    """Pre-train, encode, train the probe and measure by hand: nothing differs in a single bit."""
    config = arm_pretraining(job, "pseudo", 0)
    trained = filled / "pretrain" / "pseudo-0" / "last.ckpt"
    unet = fresh_unet(config.model.encoder, 0) if start == "random" else read_unet(trained)
    images = open_cache(config.data, config.preprocess, cache)
    lungs, pneumonia = (job.config.tasks[name] for name in ("lungs", "pneumonia"))
    encoded = EncodedTables(images, unet, config.preprocess, [lungs, pneumonia])
    probe = probed_tasks(job)["lungs"]
    decoder: DecoderStart = "transferred" if start == "pseudo" else ""
    head = build_probe(unet, 2, 0, transfer=start == "pseudo")
    folder = ResultFolder(filled)
    result = folder.result(Cell("lungs", start, "sound", "", 0.5, 0, decoder))
    assert result
    assert (result.found["dice"], result.probe) == probe_decoder(
        probe, encoded, head, lungs, 0.5, 0
    )
    result = folder.result(Cell("pneumonia", start, "sound", "", 1.0, 0))
    assert result
    assert (result.found["auroc"], result.probe) == probe_linear(probe, encoded, pneumonia, 1.0, 0)


def test_a_killed_ablation_resumes_to_the_same_figures(
    job: TableJob, filled: Path, cache: Path, tmp_path: Path
) -> None:
    with killed_at_its_first_checkpoint():  # first within the pre-training
        list(run(job, tmp_path, cache))
    going = run(job, tmp_path, cache)  # then between two cells
    for _ in range(3):
        next(going)
    going.close()
    assert undone(job, ResultFolder(tmp_path)) == cells(job)[3:]
    assert [result.cell for result in run(job, tmp_path, cache)] == cells(job)[3:]
    digest = sha256(tmp_path / "pretrain" / "pseudo-0" / "last.ckpt")
    again = _results(job, tmp_path)
    assert {result.checkpoint for result in again} == {"", digest}
    assert [(r.cell, r.found, r.probe) for r in again] == [
        (r.cell, r.found, r.probe) for r in _results(job, filled)
    ]


def test_a_finished_ablation_computes_nothing_again(
    job: TableJob, filled: Path, tmp_path: Path
) -> None:
    assert list(run(job, filled, tmp_path / "no_cache_is_needed")) == []
    assert not (tmp_path / "no_cache_is_needed").exists()


def test_the_test_split_chooses_nothing(job: TableJob, filled: Path, tmp_path: Path) -> None:
    tiny_tables.write_set(tmp_path / "tables", flip_test_labels=True)
    other = replace(_random_only(job), data=tmp_path / "tables")
    for flipped in run(other, tmp_path / "run", tmp_path / "cache"):
        usual = ResultFolder(filled).result(flipped.cell)
        assert usual
        assert isinstance(flipped, Result)
        assert flipped.probe == usual.probe
        if flipped.cell.task == "pneumonia":
            assert flipped.found["auroc"].value == pytest.approx(1 - usual.found["auroc"].value)


def test_each_seed_has_an_arm_of_its_own(job: TableJob) -> None:
    first, second = (arm_pretraining(job, "pseudo", seed) for seed in (0, 1))
    assert (first.seed, second.seed) == (0, 1)
    folder = ResultFolder(Path("out"))
    assert folder.pretraining("pseudo", 0) != folder.pretraining("pseudo", 1)


def test_an_answer_without_training_belongs_to_the_seed_of_its_pretraining(job: TableJob) -> None:
    keys = tiny_tables.ablation()
    keys["recipes"] = {}
    keys["tasks"] = {"where": {"data": tiny_tables.SET, "title": "Lungs", "kind": "ground"}}
    keys["tables"]["ablation"] = {
        "title": "Phrases", "seeds": [3, 5],
        "rows": {"pseudo": {"title": "pseudo", "of": "pseudo"}},
        "columns": {"cnr": {"task": "where", "metric": "cnr", "title": "CNR"}},
    }  # fmt: skip
    asked = replace(job, config=TablesConfig.model_validate(keys))
    found = cells(replace(asked, request=TableRequest("ablation")))
    assert [cell.name for cell in found] == ["where-pseudo-sound-s3", "where-pseudo-sound-s5"]


def test_a_data_set_that_is_missing_is_named(job: TableJob, tmp_path: Path) -> None:
    lost = replace(_random_only(job), data=tmp_path)
    found = list(run(lost, tmp_path / "run", tmp_path / "cache"))
    assert [type(one) for one in found] == [Missing] * 4
    assert all(isinstance(one, Missing) and f"{tiny_tables.SET}.csv" in one.reason for one in found)


def test_a_split_without_rows_is_named(job: TableJob, cache: Path, tmp_path: Path) -> None:
    """The second set has its table, but the pre-training does not read it."""
    tiny_tables.write_set(tmp_path / "tables")
    tiny_tables.write_set(tmp_path / "tables", "covid_cxr")
    config = TablesConfig.model_validate(tiny_tables.ablation("covid_cxr"))
    other = _random_only(replace(job, config=config, data=tmp_path / "tables"))
    found = list(run(other, tmp_path / "run", tmp_path / "cache"))
    assert {one.reason for one in found if isinstance(one, Missing)} == {
        "covid_cxr has no train row to probe with"
    }
    assert len(found) == 4
