"""docs/api.md lists every endpoint and every problem."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from radiograph.repository.repository import Repository
from service.api.app import create_app
from service.api.http.problems import INVALID_PARAMETERS, KINDS
from service.api.schemas.inference import (
    AnalyzeAnswer,
    ClassifyAnswer,
    DetectAnswer,
    GroundAnswer,
    SegmentAnswer,
)
from service.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/api.md").read_text()


def test_every_problem_is_listed_with_its_status() -> None:
    listed = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \| \w", TEXT, re.MULTILINE)
    assert len(set(listed)) == len(listed)
    kinds = {*KINDS.values(), INVALID_PARAMETERS}
    assert set(listed) == {(str(kind.status), kind.slug) for kind in kinds}


def test_every_endpoint_is_listed() -> None:
    table = TEXT.partition("\n## ")[0]
    listed = set(re.findall(r"`(?:[A-Z]+) (/[^`]*)`", table))
    paths = set(create_app(Settings.of()).openapi()["paths"])
    unprefixed = {path for path in paths if f"/v1{path}" in paths}
    assert listed - {"/", "/docs", "/openapi.json"} == paths - unprefixed


def test_examples_are_those_of_the_stable_version() -> None:
    repository = Repository(ROOT / "models")
    number = repository.resolve("g2d-cxr", "stable")
    _, _, section = TEXT.partition("\n### classify\n")
    shown = re.findall(r'"version": (\d+),\n  "digest": "(\w+)"', section)[0]
    answer = "run python -m tests.builders.docs.api_examples"
    assert shown == (str(number), repository.digest("g2d-cxr", number)), answer


@pytest.mark.parametrize(
    ("heading", "answer"),
    [
        ("classify", ClassifyAnswer),
        ("segment", SegmentAnswer),
        ("detect", DetectAnswer),
        ("ground", GroundAnswer),
        ("analyze", AnalyzeAnswer),
    ],
)
def test_every_example_has_members_of_the_answer(heading: str, answer: type[BaseModel]) -> None:
    _, _, section = TEXT.partition(f"\n### {heading}\n")
    example = re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    members = re.findall(r'^ "(\w+)": ', example, re.MULTILINE)
    assert members
    assert [name for name in members if name not in answer.model_fields] == []
