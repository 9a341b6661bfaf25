"""The ablation: whole, half done and gone on with, and what is refused."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from tests.builders.training.killing import killed_at_its_first_checkpoint
from tests.builders.training.tiny_runs import SIZE_PX
from training.config.ablation import AblationConfig, ProbeConfig
from training.config.files import load_ablation
from training.config.pretrain import PretrainConfig
from training.config.run import PairsConfig
from training.data.cache.cache import open_cache
from training.experiments import ablation
from training.experiments.ablation import Cell, Folder, Result, arm_config, cells, run
from training.experiments.ablation_picture import draw, shown
from training.experiments.ablation_probes import Found
from training.experiments.markdown import mean_and_spread, rewrite
from training.experiments.paired_differences import MARKERS, describe

TABLE = "kermany_224"
BEGIN, END = MARKERS.begin, MARKERS.end
SPLITS = ["train"] * 12 + ["valid"] * 4 + ["test"] * 4


def _write_table(root: Path, *, test_is_flipped: bool = False) -> PairsConfig:
    """Every other radiograph has pneumonia; all have the masks of both lungs."""
    files = {f"{TABLE}/{i}.png": tiny_runs.picture(i) for i in range(len(SPLITS))}
    files[f"{TABLE}/lungs.png"] = tiny_runs.lungs_png()
    records = [
        tiny_runs.record(
            f"{TABLE}/{i}.png",
            split=split,
            labels="normal" if i % 2 ^ (test_is_flipped and split == "test") else "pneumonia|viral",
            lung_mask=f"{TABLE}/lungs.png",
        )
        for i, split in enumerate(SPLITS)
    ]
    tiny_runs.write_table(root, TABLE, records, files, tar=False)
    return PairsConfig(root=root, tables=(TABLE,))


@pytest.fixture(scope="module")
def config(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> AblationConfig:
    """Two arms, one seed, two fractions."""
    probe = ProbeConfig(
        tables=(TABLE,), steps=2, batch_size=4, lr=1e-3, weight_decay=0, choose_every=1
    )
    return AblationConfig(
        kind="ablation",
        pretrain=PretrainConfig(
            kind="pretrain",
            epochs=2,
            batch_size=6,
            checkpoint_every=1,
            preprocess=PreprocessSpec(size_px=SIZE_PX),
            data=_write_table(tmp_path_factory.mktemp("tables")),
            model=tiny_runs.model_config(text_encoder),
            same_text_is_positive=True,
        ),
        arms=("random", "pseudo"),
        seeds=(0,),
        fractions=(0.5, 1.0),
        segment=probe,
        classify=probe,
    )


@pytest.fixture(scope="module")
def folder(config: AblationConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything computed without a stop."""
    path = tmp_path_factory.mktemp("ablation")
    list(run(config, path / "run", path / "cache"))
    return path / "run"


def _results(config: AblationConfig, out: Path) -> list[Result | None]:
    """As they are, but for the time that they took."""
    found = [Folder(out).result(cell) for cell in cells(config)]
    return [result and dataclasses.replace(result, seconds=0.0) for result in found]


def test_an_ablation_computes_every_cell(config: AblationConfig, folder: Path) -> None:
    assert len(cells(config)) == 2 * 2 + 2 + 4  # classify both arms, segment each of three starts
    assert None not in _results(config, folder)
    assert [cell.arm for cell in cells(config)] == ["pseudo"] * 6 + ["random"] * 4


def test_a_stopped_ablation_goes_on_to_the_same_table(
    config: AblationConfig, folder: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    with killed_at_its_first_checkpoint():  # first within the pre-training
        list(run(config, out, cache))
    going = run(config, out, cache)  # then between two cells
    for _ in range(3):
        next(going)
    going.close()
    done = [Folder(out).result(cell) for cell in cells(config)]
    assert len([result for result in done if result]) == 3
    rest = [result.cell for result in run(config, out, cache)]
    assert rest == cells(config)[3:]
    assert _results(config, out) == _results(config, folder)


def test_a_finished_ablation_computes_nothing_again(
    config: AblationConfig, folder: Path, tmp_path: Path
) -> None:
    assert list(run(config, folder, tmp_path / "no_cache_is_needed")) == []
    assert not (tmp_path / "no_cache_is_needed").exists()


def test_the_test_split_chooses_nothing(
    config: AblationConfig, folder: Path, tmp_path: Path
) -> None:
    data = _write_table(tmp_path / "tables", test_is_flipped=True)
    pretrain = config.pretrain.model_copy(update={"data": data})
    other = config.model_copy(update={"pretrain": pretrain, "arms": ("random",)})
    flipped = {r.cell: r.found for r in run(other, tmp_path / "run", tmp_path / "cache")}
    for cell, found in flipped.items():
        usual = Folder(folder).result(cell)
        assert usual is not None
        assert (found.valid, found.step) == (usual.found.valid, usual.found.step)
        if cell.task == "classify":
            assert found.value == pytest.approx(1 - usual.found.value)


def test_arms_differ_in_their_decoder_loss_alone(config: AblationConfig, folder: Path) -> None:
    changed = {
        arm: {
            key
            for key, value in arm_config(config, arm, 4).model_dump().items()
            if value != arm_config(config, "pseudo", 4).model_dump()[key]
        }
        for arm in ("none", "shuffled")
    }
    assert changed == {"none": {"decoder_loss"}, "shuffled": {"shuffle_masks"}}
    assert arm_config(config, "none", 4).seed == 4


def test_results_of_another_configuration_are_refused(
    config: AblationConfig, folder: Path, tmp_path: Path
) -> None:
    other = config.model_copy(update={"fractions": (0.1,)})
    with pytest.raises(ValueError, match="another configuration"):
        list(run(other, folder, tmp_path))
    with pytest.raises(ValueError, match="another configuration"):
        describe(other, folder)


def test_results_from_before_a_key_was_known_still_belong(
    three_seeds: AblationConfig, tmp_path: Path
) -> None:
    _filled(three_seeds, tmp_path, {})
    file = tmp_path / "config.json"
    known = json.loads(file.read_text())
    assert known["pretrain"].pop("shuffle_masks") is False
    file.write_text(json.dumps(known))
    assert "Missing, 21 of 21 results" in describe(three_seeds, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "pretrain"}'])
def test_a_folder_of_something_else_is_refused(
    config: AblationConfig, tmp_path: Path, content: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="another configuration"):
        list(run(config, tmp_path, tmp_path / "cache"))


def test_a_folder_without_an_ablation_has_no_table(config: AblationConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no ablation"):
        describe(config, tmp_path)


def test_a_missing_table_is_an_error_by_name(config: AblationConfig, tmp_path: Path) -> None:
    data = config.pretrain.data.model_copy(update={"root": tmp_path})
    lost = config.model_copy(
        update={"pretrain": config.pretrain.model_copy(update={"data": data}), "arms": ("random",)}
    )
    with pytest.raises(FileNotFoundError, match=TABLE):
        list(run(lost, tmp_path / "run", tmp_path / "cache"))


def test_a_split_without_rows_is_an_error_by_name(config: AblationConfig, tmp_path: Path) -> None:
    probe = config.segment.model_copy(update={"tables": (TABLE, "covid_cxr")})
    other = config.model_copy(update={"segment": probe, "arms": ("random",)})
    with pytest.raises(ValueError, match="covid_cxr has no train row"):
        list(run(other, tmp_path / "run", tmp_path / "cache"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cell": {"arm": 1}, "found": {}}'])
def test_a_broken_result_is_named(config: AblationConfig, tmp_path: Path, content: str) -> None:
    folder = Folder(tmp_path)
    folder.claim(config)
    cell = cells(config)[0]
    (tmp_path / "cells" / f"{cell.name}.json").write_text(content)
    with pytest.raises(ValueError, match=r"classify-.*\.json is not a result; remove it"):
        list(run(config, tmp_path, tmp_path / "cache"))


def test_a_result_under_another_name_is_refused(config: AblationConfig, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.claim(config)
    first, second = cells(config)[:2]
    folder.keep(_result(first, 0.5))
    (tmp_path / "cells" / f"{first.name}.json").rename(tmp_path / "cells" / f"{second.name}.json")
    with pytest.raises(ValueError, match="result of another cell"):
        folder.result(second)


def _result(cell: Cell, value: float) -> Result:
    return Result(cell, Found(value, 0.5, 1, 3, 3, 4), 60.0, "c" * 40)


def test_mean_and_spread_are_those_of_the_seeds() -> None:
    assert mean_and_spread([0.5, 0.6, 0.7]) == "60.0 ± 10.0"  # sample standard deviation
    assert mean_and_spread([0.5]) == "50.0"
    assert mean_and_spread([]) == "missing"
    assert mean_and_spread([0.01, 0.03], sign=True) == "+2.0 ± 1.4"
    assert mean_and_spread([-0.0001], sign=True) == "+0.0"


def _filled(config: AblationConfig, out: Path, values: Mapping[str, Sequence[float]]) -> str:
    """A page from made-up figures: arm -> figure of each seed, missing where it is short."""
    folder = Folder(out)
    folder.claim(config)
    for cell in cells(config):
        figures = values.get(cell.arm, ())
        if cell.seed < len(figures):
            folder.keep(_result(cell, figures[cell.seed]))
    return describe(config, out)


@pytest.fixture
def three_seeds(config: AblationConfig) -> AblationConfig:
    return config.model_copy(
        update={"seeds": (0, 1, 2), "arms": ("imagenet", "none", "pseudo"), "fractions": (0.1,)}
    )


def test_the_table_has_means_spreads_and_paired_differences(
    three_seeds: AblationConfig, tmp_path: Path
) -> None:
    figures = {"imagenet": (0.5, 0.5, 0.5), "none": (0.6, 0.7, 0.8), "pseudo": (0.61, 0.72, 0.83)}
    page = _filled(three_seeds, tmp_path, figures)
    assert "| image-report loss alone | 70.0 ± 10.0 |" in page
    # although the arms' spreads overlap, the pairs differ by 1, 2 and 3 points
    assert "| pseudo | none | +2.0 ± 1.0, higher in 3 of 3 |" in page
    assert "| pseudo, transferred decoder | none, new decoder | +2.0 ± 1.0, higher" in page
    assert "All 21 results are there." in page
    assert "shuffled" not in page


def test_what_is_missing_is_named(three_seeds: AblationConfig, tmp_path: Path) -> None:
    page = _filled(three_seeds, tmp_path, {"imagenet": (0.5, 0.5, 0.5), "none": (0.6, 0.8)})
    assert "| image-report loss alone | 70.0 ± 14.1 (2 of 3 seeds) |" in page
    assert "| with pseudo segmentation | missing |" in page
    assert "| none | imagenet | +20.0 ± 14.1, higher in 2 of 2 |" in page
    assert "| pseudo | none | missing |" in page
    assert "Missing, 11 of 21 results: " in page
    assert "classify after none, seed 2 (1)" in page
    assert "segment after pseudo, seed 0 (2)" in page


def test_the_time_of_a_resumed_pre_training_is_that_of_all_starts(
    three_seeds: AblationConfig, tmp_path: Path
) -> None:
    run_folder = Folder(tmp_path).run("pseudo", 1)
    run_folder.mkdir(parents=True)
    notes = [(1, 2.0), (2, 4.0), (3, 1.5), (4, 3.0)]  # killed after the second
    lines = [{"step": s, "minutes": m, "vla": 5.0, "pa": 0.5, "total": 5.5} for s, m in notes]
    (run_folder / "history.jsonl").write_text("\n".join(map(json.dumps, lines)))
    page = _filled(three_seeds, tmp_path, {})
    assert "| with pseudo segmentation | 1 | 4 | 7.0 | 5.00 | 0.500 |" in page
    assert "| with pseudo segmentation | 2 | missing |" in page


def test_only_the_part_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Words.\n\n{BEGIN}old\n{END}\nWhat it means.\n")
    rewrite(page, "new\n", MARKERS)
    rewrite(page, "newer\n", MARKERS)
    assert page.read_text() == f"Words.\n\n{BEGIN}newer\n{END}\nWhat it means.\n"


@pytest.mark.parametrize("text", ["Words.\n", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="each once"):
        rewrite(page, "new\n", MARKERS)
    assert page.read_text() == text


def test_the_command_writes_the_page(
    config: AblationConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, page = tmp_path / "mine.yaml", tmp_path / "page.md"
    file.write_text(config.model_dump_json())  # JSON is YAML
    page.write_text(f"Words.\n{BEGIN}{END}")
    arguments = ["ablation", str(file), "--out", str(folder), "--write", str(page)]
    answer = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    assert "All 10 results are there." in page.read_text()

    def computed(*_: object) -> None:
        pytest.fail("asked for the table only")

    monkeypatch.setattr(ablation, "run", computed)
    answer = CliRunner().invoke(app, [*arguments[:4], "--table-only"], catch_exceptions=False)
    assert "All 10 results are there." in answer.output


def test_the_picture_has_a_line_for_each_radiograph(
    config: AblationConfig, folder: Path, tmp_path: Path
) -> None:
    draw(config, folder, tmp_path / "cache", tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (4 * SIZE_PX, 2 * SIZE_PX))


def test_only_open_radiographs_are_shown(config: AblationConfig, tmp_path: Path) -> None:
    data = config.pretrain.data
    cache = open_cache(data, config.pretrain.preprocess, tmp_path)
    assert shown(cache, TABLE) == [17, 16]  # the first normal one of test, the first pneumonia
    closed = [
        dataclasses.replace(s, row=dataclasses.replace(s.row, licence_class="noncommercial"))
        if i in (16, 17)
        else s
        for i, s in enumerate(cache.samples)
    ]
    assert shown(dataclasses.replace(cache, samples=closed), TABLE) == [19, 18]


def test_a_picture_needs_a_pre_trained_decoder(config: AblationConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pre-training with a decoder"):
        draw(config, tmp_path / "nothing", tmp_path / "cache", tmp_path / "picture.png")


def test_a_key_that_is_unknown_is_refused(config: AblationConfig, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(json.loads(config.model_dump_json()) | {"repeats": 3}))
    with pytest.raises(ValidationError, match="repeats"):
        load_ablation(file)


def test_the_shipped_ablation_is_the_one_that_was_asked_for() -> None:
    shipped = load_ablation("ablation")
    assert shipped.pretrain.data.licences == ("open", "noncommercial")
    assert shipped.fractions == (0.01, 0.1, 1.0)
    assert {"imagenet", "none", "pseudo", "shuffled"} <= set(shipped.arms)
