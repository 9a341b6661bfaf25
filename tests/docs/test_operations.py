"""docs/operations.md says what there is."""

import re
from pathlib import Path

import yaml

from tests.builders.deploy import documented

ROOT = Path(__file__).parents[2]
TEXT = documented.PAGE.read_text()


def test_the_tables_are_those_of_the_code() -> None:
    assert documented.page(TEXT) == TEXT, (
        "python -m tests.builders.deploy.documented writes them anew"
    )


def test_every_alert_has_its_line() -> None:
    groups = yaml.safe_load((ROOT / "docker/observability/rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert set(re.findall(r"^\| `(G2D[A-Za-z]+)` \|", TEXT, re.MULTILINE)) == alerts


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`((?:deploy|docker|docs)/[\w./-]+)`", TEXT)
    named += re.findall(r"--kustomize (\S+)", TEXT)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_recorded_figure_that_is_named_is_there() -> None:
    rules = (ROOT / "docker/observability/rules.yml").read_text()
    for name in re.findall(r"`(g2d:[\w:]+)`", TEXT):
        assert f"record: {name}\n" in rules
