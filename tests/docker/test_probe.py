"""The probe: the radiograph that it sends, and the answers that it accepts."""

import io
import json

import pytest
from PIL import Image

from docker import probe

WHOLE = {"name": "Left lung", "rle": {"counts": [probe.ROWS * probe.COLUMNS]}}
ANSWER = {
    "image": {"rows": probe.ROWS, "columns": probe.COLUMNS},
    "model": {"digest": "0" * 64},
    "findings": [],
    "masks": [WHOLE],
}


def test_the_probe_sends_a_grayscale_png_of_the_size_it_says() -> None:
    image = Image.open(io.BytesIO(probe.png(probe.ROWS, probe.COLUMNS)))
    assert (image.mode, image.size) == ("L", (probe.COLUMNS, probe.ROWS))
    lung, spine, air = ((150, 240), (256, 240), (0, 0))
    assert image.getpixel(spine) > image.getpixel(lung) > image.getpixel(air)  # type: ignore[operator]


def test_a_complete_answer_has_no_mistakes() -> None:
    assert probe.mistakes(ANSWER, ["classify", "segment"]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"masks": None},
        {"masks": [WHOLE | {"rle": {"counts": [1, 2]}}]},
        {"image": None},
        {"image": {"rows": 1, "columns": 1}},
        {"model": {}},
    ],
)
def test_an_incomplete_answer_is_noticed(change: dict[str, object]) -> None:
    assert len(probe.mistakes(ANSWER | change, ["classify", "segment"])) == 1


def test_the_probe_sends_a_job_waits_for_its_answer_and_removes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = [
        (202, {"id": "7", "state": "queued"}),
        (200, {"id": "7", "state": "running"}),
        (200, {"id": "7", "state": "finished"}),
        (200, ANSWER),
        (204, None),
    ]
    asked: list[tuple[str, str]] = []

    def reply(_: int, method: str, path: str, *__: object) -> tuple[int, bytes]:
        status, content = replies[len(asked)]
        asked.append((method, path))
        return status, json.dumps(content).encode()

    monkeypatch.setattr(probe, "send", reply)
    monkeypatch.setattr(probe, "POLL_INTERVAL_S", 0)
    assert probe.answer_of_job(8000, "tasks=segment", b"picture") == ANSWER
    assert asked == [
        ("POST", "/v1/jobs?tasks=segment"),
        ("GET", "/v1/jobs/7"),
        ("GET", "/v1/jobs/7"),
        ("GET", "/v1/jobs/7/results/1"),
        ("DELETE", "/v1/jobs/7"),
    ]
