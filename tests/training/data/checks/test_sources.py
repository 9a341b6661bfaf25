"""The rows of the checks: lateral views as far as licences allow, and outliers after all others."""

from collections import Counter
from pathlib import Path

import pytest

from tests.builders.training.runs.tiny_runs import picture, record, write_table
from training.config.finetune import FinetuneConfig
from training.data.checks.sources import check_sources, sources
from training.refusal import RunRefused


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    """A run of the checks with four radiographs and two outliers, one of each unreadable."""
    names = [f"chests/{n}.png" for n in range(4)]
    rows = [record(name) for name in names]
    rows[1] |= {"view": "L", "split": "valid"}
    rows[2] |= {"view": "L", "licence": "CC BY-NC-SA 4.0", "licence_class": "noncommercial"}
    files = {name: picture(n) for n, name in enumerate(names)} | {names[3]: b"no picture"}
    write_table(tmp_path, "chests", rows, files, tar=False)
    others = {f"others/{n}.png": picture(n) for n in range(2)}
    write_table(tmp_path, "others", [record(name) for name in others], others, tar=True)
    keys = {
        "kind": "finetune",
        "epochs": 1,
        "batch_size": 2,
        "data": {"root": tmp_path, "tables": ["chests"], "share_alike": False},
        "start_from": "base/last.ckpt",
        "freeze_trunk": True,
        "checks": {"outliers": ["others"]},
        "regions": False,
    }
    return FinetuneConfig.model_validate(keys)


def test_lateral_views_are_used_as_far_as_licences_allow(config: FinetuneConfig) -> None:
    left_out: Counter[str] = Counter()
    chests, others = sources(config, left_out=left_out)
    assert [row.image for row in chests.rows] == ["chests/0.png", "chests/1.png", "chests/3.png"]
    assert (chests.outlier, others.outlier, len(others.rows)) == (False, True, 2)
    assert left_out == {"licence class noncommercial": 1}
    measured, _ = sources(config, "train", ("open", "noncommercial"))
    assert [row.image for row in measured.rows] == ["chests/0.png", "chests/2.png", "chests/3.png"]


def test_a_file_that_cannot_be_read_is_named_and_left_out(
    config: FinetuneConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    chests, others = sources(config, "train")
    sound, broken = chests.rows
    assert chests.radiograph(sound) is not None
    assert others.radiograph(others.rows[1]) is not None  # from an archive
    assert chests.radiograph(broken) is None
    assert "left out, chests chests/3.png" in capsys.readouterr().err


def test_a_data_set_without_training_rows_is_refused(config: FinetuneConfig) -> None:
    check_sources(config)
    table = config.data.root / "others.csv"
    table.write_text(table.read_text().replace(",train,", ",test,"))
    with pytest.raises(RunRefused, match="no training row in others"):
        check_sources(config)
