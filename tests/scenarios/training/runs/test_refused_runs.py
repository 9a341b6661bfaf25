"""Runs that cannot start: one line, an exit code of its kind, and nothing is created."""

import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from tests.builders.g2d.command_line import failed, g2d
from tests.builders.training.runs.refused_runs import Workplace, workplace
from tests.builders.training.runs.tiny_runs import SIZE_PX as SIDE
from training.engine.checkpoint import CHECKPOINT
from training.model import weight_sources


@pytest.fixture
def at(tmp_path: Path, text_encoder: Path) -> Workplace:
    return workplace(tmp_path, text_encoder)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


MODEL = [
    (
        "model.encoder.name=resnt50",
        "model.encoder.name: no encoder 'resnt50'; did you mean resnet50",
        2,
    ),
    (
        "model.encoder.name=tu-nothing_at_all",
        "model.encoder.name: no encoder 'tu-nothing_at_all'",
        2,
    ),
    ("model.encoder.weights=imagenet", "the weights imagenet of resnet18 (smp-hub/resnet18", 4),
    ("model.encoder.weights=package:none", "model.encoder.weights: no package 'none'", 2),
    ("model.encoder.weights=none.pth", "model.encoder.weights: 'none.pth' does not exist", 4),
    ("model.encoder.weights=.", "model.encoder.weights: '.' is a folder, not a file", 4),
    ("model.text.name=some/bert", "model.text.name: some/bert: not on this machine", 4),
    ("model.text.name=package:none", "model.text.name: no package 'none'", 2),
    ("model.text.name=.", "model.text.name: . is incomplete", 4),
    ("model.text.max_tokens=65", "model.text.max_tokens: 65, but", 2),
]
ENGINE = [
    ("engine.accelerator=gpu", "engine.accelerator: no GPU was found", 2),
    ("engine.sync_batchnorm=true", "engine.sync_batchnorm works on CUDA devices only", 2),
    ("engine.strategy=fsdp", "engine.strategy: fsdp works on CUDA devices only", 2),
    ("precision=16-mixed", "precision: 16-mixed works on CUDA devices only", 2),
    ("engine.loggers=[wandb]", "engine.loggers: wandb needs wandb: pip install", 2),
]
DATA = [
    ("data.root=nowhere", "data.root: nowhere does not exist", 3),
    ("data.tables=[absent]", "absent.csv", 3),
    ("data.licences=[noncommercial]", "0 training rows, and a step needs", 2),
    ("batch_size=9", "8 training rows, and a step needs 9; choose a smaller batch_size", 2),
    ("engine.accumulate=3", "8 training rows, and a step needs 12", 2),
]
KEYS = [
    ("temprature=1", "temprature: Extra inputs are not permitted; did you mean temperature?", 2),
    ("lr=1", "lr: Extra inputs are not permitted; did you mean optimiser.lr?", 2),
    ("engine.log_evry=1", "did you mean engine.log_every?", 2),
    ("optimiser.lr=0", "optimiser.lr: Input should be greater than 0", 2),
    ("optimiser.lr=.nan", "optimiser.lr: Input should be a finite number", 2),
    ("optimiser.lr=.inf", "optimiser.lr: Input should be a finite number", 2),
    ("temperature", "'temperature' is not of the form key=value", 2),
]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("change", "message", "code"), [*MODEL, *ENGINE, *DATA, *KEYS])
def test_a_pre_training_that_cannot_start_is_refused(
    at: Workplace, change: str, message: str, code: int
) -> None:
    at.refuses(message, at.pretraining, "--set", change, code=code)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("change", "message", "code"),
    [
        MODEL[0],
        MODEL[2],
        MODEL[6],
        *ENGINE,
        *DATA[:3],
        ("model=null", "a fine-tuning needs `pretrained` or `model`", 2),
        ("findngs=[Edema]", "did you mean findings?", 2),
        ("findings=Edema", "findings: Input should be a valid tuple; a list is written [Edema]", 2),
        ("findings=[No]", "findings.0: Input should be a valid string; YAML reads yes, no, on", 2),
        ("findings=[1]", 'put numbers in quotation marks, as in "1"', 2),
        ("pretrained=none.ckpt", "pretrained: none.ckpt does not exist", 4),
        ("pretrained=.", "pretrained: . is a folder, not a file", 4),
        ("start_from=none.ckpt", "start_from: none.ckpt does not exist", 4),
        ("choose={by: loss, every: 1}", "no validation row has a label", 2),
        ("heads", "the run trains no head: name findings, masks or boxes", 2),
    ],
)
def test_a_fine_tuning_that_cannot_start_is_refused(
    at: Workplace, change: str, message: str, code: int
) -> None:
    if change == "heads":
        none = [f"--set={kind}=[]" for kind in ("findings", "masks", "boxes")]
        options = [*none, "--set=regions=false"]
        at.refuses(message, at.finetuning, *options, kind="finetune", code=code)
    elif change.startswith("choose"):
        failed(at.start(at.finetuning, "--set", change, kind="finetune"), message, code)
    else:
        at.refuses(message, at.finetuning, "--set", change, kind="finetune", code=code)


def test_a_batch_larger_than_a_cached_set_is_refused_before_anything_is_written(
    at: Workplace,
) -> None:
    assert g2d("prepare", str(at.pretraining), "--cache", str(at.cache)).exit_code == 0
    message = "8 rows are fewer than one batch of 9; choose a smaller batch_size"
    done = at.start(at.pretraining, "--set", "batch_size=9")
    failed(done, message)
    assert not at.out.exists()


def test_masks_that_cannot_be_read_refuse_the_head_that_learns_them(at: Workplace) -> None:
    for mask in (at.folder / "data").rglob("lungs.png"):
        Image.fromarray(np.ones((SIDE, SIDE), dtype=np.uint8)).save(mask)  # 1 where 255 belongs
    rows = (at.folder / "data/kermany_224.csv").read_text().splitlines()
    one = rows[1].replace("kermany_224/lungs.png", "")  # a row that stays, without a mask
    (at.folder / "data/kermany_224.csv").write_text("\n".join([rows[0], one, *rows[2:]]) + "\n")
    masks = [f"--set={change}" for change in ("findings=[]", "boxes=[]", "regions=false")]
    done = at.start(at.finetuning, *masks, kind="finetune")
    message = (
        "no training row that could be read has a known label for masks: Left lung, Right lung"
    )
    failed(done, message)
    assert "left_out.csv says why rows are left out" in done.stderr
    assert not at.out.exists()


@pytest.mark.parametrize(
    ("devices", "gpus", "bf16", "message"),
    [
        (4, 2, True, "engine.devices: 4 processes, but 2 GPUs were found"),
        (2, 2, False, "precision: this GPU has no bf16-mixed"),
    ],
)
def test_what_the_gpus_cannot_do_is_refused(
    at: Workplace,
    devices: int,
    gpus: int,
    bf16: bool,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    changes = [f"engine.devices={devices}", "precision=bf16-mixed"]
    at.refuses(message, at.pretraining, *(f"--set={change}" for change in changes))


def test_the_kinds_of_run_are_not_confused(at: Workplace) -> None:
    at.refuses("configures a finetune run: g2d finetune", at.finetuning)
    at.refuses("configures a pretrain run: g2d pretrain", at.pretraining, kind="finetune")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: pretrain\nepochs: [1\n", "line 3, column 1: not YAML"),
        ("kind: pretrain\n\tepochs: 1\n", "line 2, column 1: not YAML"),
        ("- kind\n", "holds no keys"),
        ("", "holds no keys"),
        ("\0", "is not a text file in YAML"),
        ("epochs: 1\n", "configuration: Unable to extract tag using discriminator 'kind'"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(at: Workplace, text: str, message: str) -> None:
    at.pretraining.write_text(text)
    at.refuses(message, at.pretraining)


def test_a_folder_is_no_configuration(at: Workplace) -> None:
    at.refuses("is a folder; a configuration is a YAML file", at.folder)


@pytest.mark.parametrize("option", ["--out", "--cache"])
@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written_is_refused(at: Workplace, option: str, place: str) -> None:
    (at.folder / "file").touch()
    message = "is a file, not a folder" if place.startswith("file") else "cannot be written"
    at.refuses(message, at.pretraining, option, str(at.folder / place), code=3)


def test_data_of_another_folder_are_named_by_an_option(at: Workplace) -> None:
    for kind, config in (("pretrain", at.pretraining), ("finetune", at.finetuning)):
        at.refuses("data.root: no: where", config, "--data", "no: where", kind=kind, code=3)
    (at.folder / "data").rename(at.folder / "other: data")
    done = at.start(at.finetuning, "--data", str(at.folder / "other: data"), kind="finetune")
    assert done.exit_code == 0, done.output
    assert (at.out / CHECKPOINT).is_file()


def test_a_changed_fine_tuning_needs_its_own_folder(at: Workplace) -> None:
    failed(g2d("finetune", str(at.finetuning), "--set", "seed=1"), "its own folder with --out")


@pytest.fixture(scope="module")
def trained(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A finished pre-training of two steps."""
    at = workplace(tmp_path_factory.mktemp("trained"), text_encoder)
    assert at.start(at.pretraining).exit_code == 0
    return at


def test_a_changed_configuration_in_an_old_folder_is_refused(trained: Workplace) -> None:
    message = "holds a run of another configuration (optimiser.lr was 0.0002, is 0.1)"
    trained.refuses(message, trained.pretraining, "--set", "optimiser.lr=0.1")


def test_a_checkpoint_of_the_other_kind_is_refused(
    trained: Workplace, finetuned: Path, at: Workplace
) -> None:
    wrong = {"pretrained": finetuned, "start_from": trained.out / CHECKPOINT}
    for key, path in wrong.items():
        message = f"{key}: {path} is the checkpoint of a"
        at.refuses(message, at.finetuning, "--set", f"{key}={path}", kind="finetune", code=4)


@pytest.mark.parametrize("left", [0, 100, 10_000])
def test_a_checkpoint_that_is_cut_off_is_refused(
    trained: Workplace, at: Workplace, left: int
) -> None:
    short = at.folder / "short.ckpt"
    short.write_bytes((trained.out / CHECKPOINT).read_bytes()[:left])
    message = f"{short} is no file of tensors, or is cut off"
    change = f"--set=pretrained={short}"
    at.refuses(f"pretrained: {message}", at.finetuning, change, kind="finetune", code=4)
    failed(g2d("evaluate", str(short)), f"run: {message}", 4)
    failed(g2d("export", str(short)), f"run: {message}", 4)
    at.out.mkdir(parents=True)
    short.rename(at.out / CHECKPOINT)
    at.refuses("last checkpoint: ", at.pretraining, code=4)


def test_a_checkpoint_that_does_not_fit_its_configuration_is_refused(
    trained: Workplace, at: Workplace
) -> None:
    state = torch.load(trained.out / CHECKPOINT, weights_only=True)
    name = next(key for key in state["model"] if key.startswith("g2d.img_model.encoder."))
    other = at.folder / "other.ckpt"
    for weight, said in ((torch.zeros(3), "size mismatch for"), (None, "Missing key(s)")):
        weights = {key: value for key, value in state["model"].items() if key != name}
        torch.save(
            state | {"model": weights if weight is None else weights | {name: weight}}, other
        )
        message = f"pretrained: {other} does not fit the model: {said}"
        change = f"--set=pretrained={other}"
        at.refuses(message, at.finetuning, change, kind="finetune", code=4)
        for command in ("evaluate", "export", "publish"):
            failed(g2d(command, str(other)), f"run: {other} does not fit the model: {said}", 4)


@pytest.mark.parametrize("encoder", ["resnet34", "tu-resnet10t"])
def test_an_earlier_run_of_another_trunk_is_refused(
    finetuned: Path, at: Workplace, encoder: str
) -> None:
    changes = [f"start_from={finetuned}", f"model.encoder.name={encoder}"]
    options = [f"--set={change}" for change in changes]
    at.refuses("start_from: ", at.finetuning, *options, kind="finetune", code=4)


def test_a_teacher_without_masks_is_refused(trained: Workplace, at: Workplace) -> None:
    boxes = [f"--set={change}" for change in ("masks=[]", "regions=false", "boxes=[Lung opacity]")]
    assert at.start(at.finetuning, *boxes, kind="finetune").exit_code == 0
    run = at.out.rename(at.folder / "teacher") / CHECKPOINT
    teacher = {"run": str(run), "tables": ["kermany_224"]}
    change = f"--set=teacher={json.dumps(teacher)}"
    message = f"teacher.run: {run} is no fine-tuning with masks"
    at.refuses(message, at.finetuning, change, kind="finetune", code=4)
    teacher["run"] = str(trained.out / CHECKPOINT)
    change = f"--set=teacher={json.dumps(teacher)}"
    message = "is the checkpoint of a pretrain run"
    at.refuses(message, at.finetuning, change, kind="finetune", code=4)


def test_a_file_that_cannot_be_imported_or_exported_is_refused(
    trained: Workplace, at: Workplace
) -> None:
    ours = trained.out / CHECKPOINT
    short = at.folder / "short.pth"
    short.write_bytes(ours.read_bytes()[:1000])
    new = ("--out", str(at.out))
    failed(g2d("import-checkpoint", str(short), *new), f"{short} is not a checkpoint, or is cut", 4)
    failed(g2d("import-checkpoint", str(at.folder / "none"), *new), "none does not exist", 4)
    failed(g2d("import-checkpoint", str(at.folder), *new), "is a folder, not a file", 4)
    failed(g2d("import-checkpoint", str(ours), *new), "is a checkpoint of ours", 4)
    taken = ("--out", str(trained.out))
    failed(g2d("import-checkpoint", str(short), *taken), "holds another run; choose a new --out", 2)
    written = ("--out", str(at.folder / "x.pth"))
    failed(g2d("export-checkpoint", str(short), *written), "is no file of tensors, or is cut", 4)
    failed(g2d("export-checkpoint", str(at.out), *written), "does not exist", 4)
    failed(g2d("export-checkpoint", str(ours), "--out", str(short)), "is there already", 2)
    assert not at.out.exists()


def test_tensors_that_are_no_checkpoint_are_refused(at: Workplace) -> None:
    torch.save({"weight": torch.zeros(2)}, at.folder / "other.pth")
    change = f"--set=pretrained={at.folder / 'other.pth'}"
    at.refuses("is no checkpoint of a run", at.finetuning, change, kind="finetune", code=4)


def test_weights_of_another_encoder_are_refused(at: Workplace) -> None:
    torch.save({"weight": torch.zeros(2)}, at.folder / "other.pth")
    change = f"--set=model.encoder.weights={at.folder / 'other.pth'}"
    at.refuses("does not hold the weights of this encoder", at.pretraining, change, code=4)


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A hub that never answers; each request is one connection in its queue."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        template = address + "/{repo_id}/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(weight_sources, "HUB_TIMEOUT_S", 0.2)
        yield listening


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.text.name=some/bert", "set model.text.name to a local folder with config.json"),
        ("model.encoder.weights=imagenet", "set model.encoder.weights to a local file"),
    ],
)
def test_a_hub_that_does_not_answer_is_asked_once(
    at: Workplace, silent_hub: socket.socket, change: str, message: str
) -> None:
    at.refuses(f"the hub does not answer; {message}", at.pretraining, "--set", change, code=4)
    silent_hub.accept()[0].close()
    with pytest.raises(BlockingIOError):
        silent_hub.accept()


@pytest.mark.parametrize("option", [("--split", "all"), ("--threshold", "high")])
def test_a_wrong_option_of_an_evaluation_is_refused(
    finetuned: Path, option: tuple[str, str]
) -> None:
    failed(g2d("evaluate", str(finetuned), *option), option[1])


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond a megabyte, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_checkpoint_that_the_disk_does_not_take_is_named(at: Workplace) -> None:
    done = at.start(at.pretraining, "--set", "engine.loggers=[]")
    assert done.exit_code == 3
    *_, line = done.stderr.splitlines()  # a slow machine shows its progress before it
    assert line.startswith(f"g2d: error: {at.out / CHECKPOINT} was not written (File too large)")
    assert "there is none yet" in line
    assert sorted(path.name for path in at.out.iterdir()) == ["history.jsonl", "rows.json"]
