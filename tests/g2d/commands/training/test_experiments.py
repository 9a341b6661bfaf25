"""`g2d table` and `g2d ablation`: what is printed and written, and what a wrong command says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from g2d.cli import app
from tests.builders.training.sets import tiny_tables
from training.config.experiments import Keys
from training.experiments import run as running
from training.experiments.pages import paired_differences
from training.experiments.pages.render import as_csv, markdown, table_entries
from training.experiments.plan import TableJob, cells
from training.experiments.result_store import Measured, ProbeTraining, Result, ResultFolder


@pytest.fixture(scope="module")
def root(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, and the configuration of a pre-training."""
    folder = tmp_path_factory.mktemp("tables")
    tiny_tables.write_set(folder)
    for epochs in (1, 2):
        config = tiny_tables.pretraining(folder, text_encoder, epochs)
        (folder / f"pretraining{epochs}.yaml").write_text(config.model_dump_json())  # JSON is YAML
    return folder


@pytest.fixture(params=["1", "ablation"])
def job(request: pytest.FixtureRequest, root: Path, text_encoder: Path) -> TableJob:
    """A table of fine-tunings, and one of probes."""
    if request.param == "ablation":
        return _named(tiny_tables.ablation_job(root, text_encoder), root, 2)
    return _named(tiny_tables.job(root, text_encoder), root, 1)


@pytest.fixture
def fourth(root: Path, text_encoder: Path) -> TableJob:
    """Table 4: two cells, and two without their data."""
    return _named(tiny_tables.job(root, text_encoder, "4"), root, 1)


def _named(job: TableJob, root: Path, epochs: int) -> TableJob:
    pretraining = str(root / f"pretraining{epochs}.yaml")
    return replace(job, config=job.config.model_copy(update={"pretraining": pretraining}))


def _keep(job: TableJob, out: Path, *, left_out: int = 0) -> ResultFolder:
    """Results that are made up, of all cells but the last ones."""
    folder, found = ResultFolder(out), cells(job)
    folder.claim(job.claim)
    for cell in found[: len(found) - left_out]:
        metric = "dice" if cell.task == "lungs" else "auroc"
        figures = {metric: Measured(0.5, 0.4, 0.6, 4)}
        folder.keep(Result(cell, figures, "", 60.0, "c" * 40, ProbeTraining(0.5, 1, 6, 6)))
    return folder


def _recipes(job: TableJob, file: Path) -> Path:
    keys: Keys = job.config.model_dump(mode="json", exclude_defaults=True)
    file.write_text(yaml.safe_dump(keys | {"kind": "tables"}, sort_keys=False))
    return file


def _g2d(job: TableJob, out: Path, *options: str, command: Sequence[str] = ()) -> Any:
    recipes = _recipes(job, out.with_suffix(".yaml"))
    start = command or ("table", job.request.table, "--recipes", str(recipes))
    return CliRunner().invoke(app, [*start, "--out", str(out), *options])


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*_: object) -> None:
        pytest.fail("computed although the results are there")

    for name in ("finetune", "pretrain", "measure", "probe_linear", "probe_decoder"):
        monkeypatch.setattr(running, name, computed)


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_filled_table_is_printed_and_written_and_not_computed_again(
    job: TableJob, tmp_path: Path
) -> None:
    folder, name = _keep(job, tmp_path / "out"), job.request.table
    answer = _g2d(job, folder.path)
    assert answer.exit_code == 0, answer.output
    entries = table_entries(job, folder, {})
    assert answer.stdout.strip() == markdown(job, folder, entries).strip()
    assert (folder.path / f"table_{name}.csv").read_text() == as_csv(job, entries)
    assert (folder.path / f"table_{name}.md").read_text() == markdown(job, folder, entries)
    page = tmp_path / "page.md"
    page.write_text(f"Words.\n<!-- table {name} -->\nold\n<!-- end of table {name} -->\nMore.\n")
    answer = _g2d(job, folder.path, "--write", str(page))
    assert answer.exit_code == 0, answer.output
    assert page.read_text().startswith(f"Words.\n<!-- table {name} -->\n**Table {name}. ")
    assert page.read_text().endswith(f"<!-- end of table {name} -->\nMore.\n")


@pytest.mark.usefixtures("nothing_is_computed")
def test_table_only_renders_what_is_there(job: TableJob, tmp_path: Path) -> None:
    folder = _keep(job, tmp_path / "out", left_out=1)
    answer = _g2d(job, folder.path, "--table-only")
    assert answer.exit_code == 0, answer.output
    every = sum(len(entry.cells) for entry in table_entries(job, folder, {}))
    assert f"{every - 1} of {every} figures are there." in answer.stdout
    assert "1. not computed yet" in answer.stdout


@pytest.mark.usefixtures("nothing_is_computed")
@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("--write", "page.md", "needs the lines <!-- table"),
        ("--write", "none.md", "No such file"),
        ("--picture", "maps.jpg", "the picture is a .png file"),
        ("--picture", "none/maps.png", "the folder does not exist"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    fourth: TableJob, tmp_path: Path, option: str, name: str, reason: str
) -> None:
    folder = _keep(fourth, tmp_path / "out", left_out=1)
    (tmp_path / "page.md").write_text("No marker.\n")
    answer = _g2d(fourth, folder.path, option, str(tmp_path / name))
    assert answer.exit_code == 2
    assert reason in answer.stderr


def test_table_only_needs_a_folder_of_tables(job: TableJob, tmp_path: Path) -> None:
    answer = _g2d(job, tmp_path / "out", "--table-only")
    assert answer.exit_code == 2
    assert f"{tmp_path / 'out'} holds no tables" in answer.output


@pytest.mark.usefixtures("nothing_is_computed")
def test_the_ablation_command_is_the_table_of_that_name(
    root: Path, text_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _named(tiny_tables.ablation_job(root, text_encoder), root, 2)
    folder = _keep(job, tmp_path / "out")
    as_table = _g2d(job, folder.path, "--table-only")
    command = ("ablation", str(_recipes(job, tmp_path / "mine.yaml")))
    answer = _g2d(job, folder.path, "--table-only", command=command)
    assert answer.exit_code == as_table.exit_code == 0, answer.output
    assert answer.stdout == as_table.stdout
    assert "10 of 10 figures are there." in answer.stdout
    drawn: list[Path] = []
    monkeypatch.setattr(paired_differences, "draw", lambda *given: drawn.append(given[-1]))
    _g2d(job, folder.path, "--picture", str(tmp_path / "picture.png"), command=command)
    assert drawn == [tmp_path / "picture.png"]


def test_a_picture_without_a_decoder_is_refused_in_a_line(
    root: Path, text_encoder: Path, tmp_path: Path
) -> None:
    job = _named(tiny_tables.ablation_job(root, text_encoder), root, 2)
    folder = _keep(job, tmp_path / "out")
    answer = _g2d(job, folder.path, "--table-only", "--picture", str(tmp_path / "picture.png"))
    assert answer.exit_code == 2
    assert "holds no pre-training with a decoder" in answer.output


def test_a_dry_run_says_what_can_run_and_once_what_is_missing(
    fourth: TableJob, tmp_path: Path
) -> None:
    answer = _g2d(fourth, tmp_path / "out", "--dry-run")
    assert answer.exit_code == 0, answer.output
    *lines, last = answer.stdout.splitlines()
    assert lines == [
        "table 4: 4 cells, 0 done, 2 to do, 2 waiting",
        "  pneumonia-random-sound-0.01-s0: to do",
        "  pneumonia-random-sound-1-s0: to do",
        f"{tiny_tables.SET}: 2 cells, 0 done, 2 to do, 0 waiting",
        "lost_set: 2 cells, 0 done, 0 to do, 2 waiting for 1",
    ]
    assert last.startswith("1. 2 cells wait for this: no table ")
    assert "lost_set.csv" in last
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_what_is_done_and_names_what_failed(
    fourth: TableJob, tmp_path: Path
) -> None:
    folder, first = _keep(fourth, tmp_path / "out", left_out=3), cells(fourth)[1]
    folder.keep_failure(first, "out of memory", "Traceback")
    answer = _g2d(fourth, folder.path, "--dry-run")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[:3] == [
        "table 4: 4 cells, 1 done, 1 to do, 2 waiting",
        f"  {first.name}: to do again, failed: out of memory",
        f"{tiny_tables.SET}: 2 cells, 1 done, 1 to do, 0 waiting",
    ]


def test_a_dry_run_of_an_ablation_lists_its_cells(
    root: Path, text_encoder: Path, tmp_path: Path
) -> None:
    job = _named(tiny_tables.ablation_job(root, text_encoder), root, 2)
    answer = _g2d(job, tmp_path / "out", "--dry-run", "--seeds", "0,1")
    assert answer.exit_code == 0, answer.output
    first, second, *_, last = answer.stdout.splitlines()
    assert first == "table ablation: 20 cells, 0 done, 20 to do, 0 waiting"
    assert second == "  lungs-pseudo-sound-new-0.5-s0: to do"
    assert last == f"{tiny_tables.SET}: 20 cells, 0 done, 20 to do, 0 waiting"


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_the_status_is_3_if_nothing_that_is_missing_can_run(
    fourth: TableJob, tmp_path: Path, options: tuple[str, ...]
) -> None:
    answer = _g2d(fourth, tmp_path / "out", "--only", "lost_set", *options)
    assert answer.exit_code == 3, answer.output
    assert "no table" in answer.output


def test_the_status_is_4_if_a_cell_failed(
    fourth: TableJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(running, "finetune", fails)
    answer = _g2d(fourth, tmp_path / "out", "--only", tiny_tables.SET)
    assert answer.exit_code == 4, answer.output
    assert answer.stderr.count("-s0: failed: RuntimeError: out of memory\n") == 2
    assert "1. failed: RuntimeError: out of memory\n" in answer.stdout
    assert "Traceback" not in answer.output


def test_the_help_documents_the_exit_status() -> None:
    text = CliRunner().invoke(app, ["table", "--help"]).stdout
    assert "3 results are missing, and none of them can be computed here" in text
    assert "4 a cell failed" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "a"], "not of the form 0,1,2"),
        (["--seeds=-1"], "a seed is 0 or greater"),
        (["--arm", "shuffled"], "not of the form NAME=CHECKPOINT"),
        (["--protocol", "mine"], "protocol"),
    ],
)
def test_a_wrong_command_is_refused_in_a_line(
    fourth: TableJob, tmp_path: Path, options: list[str], message: str
) -> None:
    answer = _g2d(fourth, tmp_path / "out", *options)
    assert answer.exit_code == 2
    assert message in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("6", [], "no table 6; there are: 1, 4, 5, 2b"),
        ("4", ["--only", "siim"], f"table 4 has no siim; it has: {tiny_tables.SET}, lost_set"),
        ("4", ["--fraction", "2"], "fraction: Input should be less than or equal to 1"),
        ("4", ["--devices", "3"], "3 processes cannot share a step of 4 rows, 2 or more each"),
        ("4", ["--arm", "otsu=a.ckpt"], "no arm is called otsu; they are: shuffled"),
    ],
)
@pytest.mark.usefixtures("nothing_is_computed")
def test_a_request_that_cannot_be_answered_is_refused_in_one_line(
    fourth: TableJob, tmp_path: Path, table: str, options: list[str], message: str
) -> None:
    asked = replace(fourth, request=replace(fourth.request, table=table))
    answer = _g2d(asked, tmp_path / "out", *options)
    assert answer.exit_code == 2
    assert answer.stderr == f"g2d: error: {message}\n"
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def files(finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that are not the checkpoint of a pre-training."""
    folder = tmp_path_factory.mktemp("files")
    cut_off = folder / "cut_off.ckpt"
    cut_off.write_bytes(finetuned.read_bytes()[:2000])
    released, text = folder / "released.pth", folder / "text.ckpt"
    torch.save({"conv1.weight": torch.zeros(1)}, released)
    text.write_text("weights")
    return {
        "missing": folder / "missing.ckpt", "folder": folder, "cut_off": cut_off,
        "released": released, "text": text, "finetuned": finetuned,
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--pretrained", "--arm"])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing", "missing.ckpt does not exist"),
        ("folder", "is a folder, not a file"),
        ("cut_off", "cut_off.ckpt is no file of tensors, or is cut off"),
        ("released", "g2d import-checkpoint reads those of the released code"),
        ("text", "text.ckpt is no file of tensors, or is cut off"),
        ("finetuned", "last.ckpt is the checkpoint of a finetune run"),
    ],
)
@pytest.mark.usefixtures("nothing_is_computed")
def test_a_checkpoint_of_another_kind_is_refused_in_one_line(
    fourth: TableJob, files: dict[str, Path], tmp_path: Path, option: str, file: str, message: str
) -> None:
    value = str(files[file]) if option == "--pretrained" else f"shuffled={files[file]}"
    answer = _g2d(fourth, tmp_path / "out", option, value)
    assert answer.exit_code == 2, answer.exception
    (line,) = answer.stderr.splitlines()
    named = option if option == "--pretrained" else "--arm shuffled"
    assert line.startswith(f"g2d: error: {named}: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_an_ablation_of_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kind: ablation\n")
    answer = CliRunner().invoke(app, ["ablation", str(file), "--table-only"])
    assert answer.exit_code == 2
    assert "Input should be 'tables'" in answer.output
