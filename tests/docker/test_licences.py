"""Licences of what the service image installs: none is a GPL, and every LGPL is known.

The licences are those that the installed packages declare. What a wheel bundles without declaring
it does not show here.
"""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
GPL = re.compile(r"(?<![A-Za-z])A?GPL|GNU (Affero )?General Public", re.IGNORECASE)
LGPL = re.compile(r"LGPL|GNU (Lesser|Library) General Public", re.IGNORECASE)
KNOWN_LGPL = {"psycopg", "psycopg-binary"}
"""Packages of the image under the LGPL; they are imported, unchanged, from their own folders."""


def pins(name: str) -> list[str]:
    """Return the packages that a constraint file installs on this platform."""
    text = (ROOT / f"constraints/{name}.txt").read_text()
    lines = re.findall(r"^([a-z0-9][^\s\\]*==[^\\\n]+)", text, re.MULTILINE)
    found = [Requirement(line.strip()) for line in lines]
    return [item.name for item in found if item.marker is None or item.marker.evaluate()]


def declared(message: "metadata.PackageMetadata") -> str:
    """Return every licence that a package declares; the text of a licence is left out."""
    texts = [*message.get_all("License-Expression", []), *message.get_all("License", [])]
    short = [text for text in texts if len(text) <= 100]
    classifiers = [text for text in message.get_all("Classifier", []) if "License ::" in text]
    return "; ".join(filter(None, (*short, *classifiers)))


def copyleft(licence: str) -> bool:
    """Return whether a declared licence is a GPL for the whole package."""
    # GCC's runtime library may be linked with any program.
    return bool(GPL.search(re.sub(r"GPL-3\.0(-only|-or-later)?[- ]with[- ]GCC\S*", "", licence)))


@pytest.mark.parametrize(
    "name", ["serve", "dicom-results", "gateway", "otel", "postgres", "triton"]
)
def test_no_package_of_the_service_is_under_a_gpl(name: str) -> None:
    licences = {pin: declared(metadata.metadata(pin)) for pin in pins(name)}
    assert len(licences) > 20
    assert [pin for pin, licence in licences.items() if not licence] == []
    assert [pin for pin, licence in licences.items() if copyleft(licence)] == []
    assert {pin for pin, licence in licences.items() if LGPL.search(licence)} <= KNOWN_LGPL


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("License :: OSI Approved :: GNU General Public License v2 (GPLv2)", True),
        ("License :: OSI Approved :: GNU Affero General Public License v3", True),
        ("GPLv3", True),
        ("MIT OR GPL-2.0-or-later", True),
        ("LGPL-3.0-only", False),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-3-Clause AND GPL-3.0-with-GCC-exception", False),
        ("Apache-2.0", False),
    ],
)
def test_a_gpl_is_told_from_other_licences(licence: str, refused: bool) -> None:
    assert copyleft(licence) is refused
