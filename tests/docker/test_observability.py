"""The rules of Prometheus and the dashboard of Grafana read exactly what the service exports."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.deploy import promql

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker/observability"
GRAFANA = FOLDER / "grafana"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/g2d.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

EXPRESSIONS = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in RULES] + TARGETS


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_reads_what_is_exported(where: str, expression: str) -> None:
    names, labels = promql.read_by(expression)
    exported, known = promql.exported()
    assert names
    assert names - exported - RECORDED - promql.SCRAPED == set()
    assert labels - known - promql.SCRAPED_LABELS == set()


def test_every_exported_metric_is_used() -> None:
    exported, _ = promql.exported()
    read = {name for _, expression in EXPRESSIONS for name in promql.read_by(expression)[0]}
    families = {re.sub("_(bucket|sum|count|total)$", "", name) for name in exported}
    shown = {re.sub("_(bucket|sum|count|total)$", "", name) for name in read}
    assert {name for name in families if name.startswith("g2d_")} - shown == set()


def test_an_alert_has_a_severity_and_a_summary() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]


def test_a_bucket_that_a_rule_names_exists() -> None:
    edges = {
        (sample.name, sample.labels["le"])
        for family in promql.filled().registry.collect()
        for sample in family.samples
        if "le" in sample.labels
    }
    named = {
        pair
        for rule in RULES
        for pair in re.findall(r'(g2d_\w+_bucket)\{le="([^"]+)"', rule["expr"])
    }
    assert named
    assert named <= edges


def test_prometheus_scrapes_services_of_compose() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = services["prometheus"]["volumes"]
    names = {
        name
        for job in config["scrape_configs"]
        for discovery in job.get("dns_sd_configs", ())
        for name in discovery["names"]
    }
    assert names <= set(services)
    for path in config["rule_files"]:
        assert any(f":{path}:ro" in mount for mount in mounts)


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & mine, panel["title"]
        cells |= mine
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_asks_a_source_that_is_provisioned() -> None:
    provisioning = GRAFANA / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources/datasources.yml").read_text())
    known = {source["uid"] for source in sources["datasources"]}
    asked = {panel["datasource"]["uid"] for panel in PANELS}
    asked |= {variable["datasource"]["uid"] for variable in DASHBOARD["templating"]["list"]}
    assert asked <= known
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for source in sources["datasources"]:
        assert re.fullmatch(r"http://(\w+):\d+", source["url"])[1] in services  # type: ignore[index]
    (provider,) = yaml.safe_load((provisioning / "dashboards/dashboards.yml").read_text())[
        "providers"
    ]
    mounts = services["grafana"]["volumes"]
    assert any(f":{provider['options']['path']}:ro" in mount for mount in mounts)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_rules_do_what_they_say() -> None:
    command = ["promtool", "test", "rules", "rules_test.yml"]  # its own file's claims
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
