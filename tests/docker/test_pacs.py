"""Profile `pacs`: gateway, Orthanc, OHIF and the forwarder name each other by their addresses."""

import json
import re
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml

from docker.pacs import forward_changes
from service.gateway.configuration import Configuration, DimsePeer, read_configuration

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker/pacs"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
ORTHANC = json.loads((FOLDER / "orthanc.json").read_text())


@pytest.fixture(scope="module")
def gateway() -> Configuration:
    return read_configuration(FOLDER / "gateway.toml")


def test_gateway_and_orthanc_know_each_other(gateway: Configuration) -> None:
    (peer,) = gateway.peers
    assert isinstance(peer, DimsePeer)
    assert (peer.host, peer.port, peer.ae_title) == ("orthanc", 4242, "ORTHANC")
    assert (ORTHANC["DicomPort"], ORTHANC["DicomAet"]) == (peer.port, peer.ae_title)
    title, host, port = ORTHANC["DicomModalities"]["g2d"]
    assert (title, host, port) == (gateway.ae_title, "gateway", gateway.listen.port)
    assert gateway.listen.allowed_ae_titles == (ORTHANC["DicomAet"],)
    assert gateway.ae_title == forward_changes.GATEWAY_AE_TITLE
    assert set(gateway.sop_classes) == forward_changes.CLASSES


def test_the_gateway_asks_the_service_and_keeps_its_folder_in_a_volume(
    gateway: Configuration,
) -> None:
    assert gateway.service.url == "http://service:8000"
    mounts = [volume.split(":")[:2] for volume in SERVICES["gateway"]["volumes"]]
    assert ["gateway", str(gateway.folder)] in mounts
    assert ["./docker/pacs/gateway.toml", "/etc/g2d/gateway.toml"] in mounts
    environment = SERVICES["gateway"]["environment"]
    assert environment["G2D_GATEWAY_FILE"] == "/etc/g2d/gateway.toml"
    assert environment["G2D_PORT"] == str(gateway.web.port)  # that the health check asks


def test_the_service_can_write_dicom_objects() -> None:
    assert SERVICES["service"]["build"]["args"]["EXTRAS"] == "${G2D_IMAGE_EXTRAS:-dicom-results}"


def test_the_viewer_asks_its_own_address_only() -> None:
    text = (FOLDER / "app-config.js").read_text()
    addresses = re.findall(r"\w+Root: '([^']*)'", text)
    assert addresses == ["/dicom-web"] * 3
    assert "http" not in text.replace("https", "http").split("window.config")[1]
    nginx = (FOLDER / "nginx.conf").read_text()
    assert "proxy_pass http://orthanc:8042;" in nginx
    assert "default-src 'self'" in nginx


def test_the_package_of_the_viewer_is_pinned_by_its_digest() -> None:
    text = (ROOT / "docker/ohif.Dockerfile").read_text()
    assert re.search(r"^ARG OHIF_VERSION=\d+\.\d+\.\d+$", text, re.MULTILINE)
    assert re.search(r"^ARG OHIF_SHA512=[A-Za-z0-9+/]{86}==$", text, re.MULTILINE)
    assert '= "${OHIF_SHA512}"' in text


class FakeOrthanc(forward_changes.Orthanc):
    """Orthanc with a few changes, whose gateway fails on request."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.fails = False

    def call(self, path: str, content: object = None) -> Any:
        cr = {"SopClassUid": "1.2.840.10008.5.1.4.1.1.1", "RemoteAET": "CR1"}
        metadata = {
            "image": cr,
            "own": cr | {"RemoteAET": "G2D"},
            "report": cr | {"SopClassUid": "1.2.840.10008.5.1.4.1.1.88.34"},
            "second": cr,
        }
        if path.startswith("/changes?since="):
            since = int(re.findall(r"\d+", path)[0])
            names = ["image", "own", "gone", "report", "second"]
            changes = [
                {"ChangeType": "NewInstance", "ID": name, "Seq": number}
                for number, name in enumerate(names, 1)
                if number > since
            ]
            return {"Changes": changes, "Done": True}
        if isinstance(content, dict):
            if self.fails:
                raise urllib.error.URLError("refused")
            self.stored += content["Resources"]
            return {}
        name = path.split("/")[2]
        if name == "gone":
            raise urllib.error.HTTPError(path, 404, "", Message(), None)
        return metadata[name]


def test_radiographs_are_forwarded_once_and_results_are_not(tmp_path: Path) -> None:
    orthanc, cursor = FakeOrthanc(), tmp_path / "cursor"
    for _ in range(2):
        assert not forward_changes.forward(orthanc, "g2d", cursor)
    assert orthanc.stored == ["image", "second"]
    assert cursor.read_text() == "5"


def test_an_image_that_is_not_forwarded_stays_before_the_cursor(tmp_path: Path) -> None:
    orthanc, cursor = FakeOrthanc(), tmp_path / "cursor"
    cursor.write_text("2")
    orthanc.fails = True
    with pytest.raises(OSError, match="refused"):
        forward_changes.forward(orthanc, "g2d", cursor)
    assert cursor.read_text() == "4"
    orthanc.fails = False
    forward_changes.forward(orthanc, "g2d", cursor)
    assert orthanc.stored == ["second"]
