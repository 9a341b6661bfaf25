"""docs/pacs.md: its file of the gateway is valid, and its metrics are those of the gateway."""

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from service.gateway.configuration import Configuration
from service.observability.metrics.gateway_metrics import GatewayMetrics

PAGE = (Path(__file__).parents[2] / "docs/pacs.md").read_text()


def test_the_file_on_the_page_is_valid() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    read = Configuration.model_validate(tomllib.loads(text))
    assert [peer.name for peer in read.peers] == ["pacs", "research"]
    assert [worklist.name for worklist in read.worklists] == ["ris"]


def test_the_metrics_on_the_page_are_those_of_the_gateway() -> None:
    families = GatewayMetrics().registry.collect()
    ours = [one for one in families if one.name.startswith("g2d_")]
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in ours}
    assert set(re.findall(r"^\| `(g2d_gateway_\w+)`", PAGE, re.MULTILINE)) == names
