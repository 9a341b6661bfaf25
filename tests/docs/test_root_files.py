"""The files that a stranger looks for at the root are complete and agree with each other."""

import hashlib
import re
import tomllib
from pathlib import Path

import yaml

from radiograph.repository.repository import Repository

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def test_the_licence_is_the_unmodified_apache_2_0() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    assert PROJECT["license"] == "Apache-2.0"


def test_the_wheel_carries_licence_and_notice() -> None:
    assert PROJECT["license-files"] == ["LICENSE", "NOTICE"]
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])


def test_an_image_can_build_the_wheel_with_its_metadata() -> None:
    sent = (ROOT / ".dockerignore").read_text().split()
    for name in (PROJECT["readme"], *PROJECT["license-files"]):
        assert f"!{name}" in sent
        for image in ("service", "training"):
            text = (ROOT / f"docker/{image}.Dockerfile").read_text()
            assert re.search(rf"^COPY .*\b{re.escape(name)}\b.* /src/$", text, re.MULTILINE)


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert paper["url"] == PROJECT["urls"]["Paper"] == "https://arxiv.org/abs/2312.01522"


def test_the_changelog_has_an_entry_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert PROJECT["version"] in versions


def test_the_notice_attributes_every_data_set_of_the_shipped_model() -> None:
    notice = (ROOT / "NOTICE").read_text()
    models = Repository(ROOT / "models")
    version = models.resolve("g2d-cxr", "stable")
    assert f"models/g2d-cxr/{version}" in notice
    for use in models.load_manifest("g2d-cxr", version).provenance.data:
        assert use.name.split()[0].rstrip(",") in notice
        assert f"{use.rows['train']:,} training images" in notice


def test_the_readme_has_at_most_1300_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1300
