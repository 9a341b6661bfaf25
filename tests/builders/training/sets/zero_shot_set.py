"""A miniature set for zero-shot answers: pneumonia with a box in every other radiograph."""

from pathlib import Path

from tests.builders.training.runs import tiny_runs

TABLE = "kermany_224"


def write(root: Path, splits: str) -> Path:
    """Write one radiograph for each letter of `splits`, v for valid or t for test."""
    box = [{"label": "Pneumonia", "xyxy": [10, 12, 40, 44]}]
    records = [
        tiny_runs.record(
            f"{TABLE}/{i}.png",
            split={"v": "valid", "t": "test"}[letter],
            labels="normal" if i % 2 else "pneumonia|viral",
            boxes=[] if i % 2 else box,
        )
        for i, letter in enumerate(splits)
    ]
    files = {f"{TABLE}/{i}.png": tiny_runs.picture(i) for i in range(len(splits))}
    tiny_runs.write_table(root, TABLE, records, files, tar=False)
    return root
