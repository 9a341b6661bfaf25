"""The file of the gateway: what it may say, and the one line about what it may not."""

from pathlib import Path

import pytest

from service.gateway.configuration import DimsePeer, StowPeer, read_configuration, read_secret
from service.gateway.errors import InvalidConfiguration

VALID = """
folder = "/srv/g2d/gateway"
[[rules]]
name = "chest"
peers = ["pacs", "web"]
[[peers]]
name = "pacs"
protocol = "dimse"
host = "pacs.example.org"
ae_title = "PACS"
[[peers]]
name = "web"
protocol = "stow"
url = "https://pacs.example.org/dicom-web"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return path


def test_a_small_file_has_sensible_defaults(tmp_path: Path) -> None:
    read = read_configuration(written(tmp_path, VALID))
    assert [type(peer) for peer in read.peers] == [DimsePeer, StowPeer]
    assert (read.ae_title, read.listen.port, read.listen.associations) == ("G2D", 11112, 10)
    assert read.suppress == ("lateral_view", "not_human", "out_of_domain", "pixels_look_*")
    assert read.sop_classes == (
        "1.2.840.10008.5.1.4.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.7",
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('ae_title = "PACS"', 'ae_title = "SEVENTEENLETTERS1"', r"peers.0.dimse.ae_title"),
        ('protocol = "stow"', 'protocol = "fax"', r"peers.1"),
        ('peers = ["pacs", "web"]', 'peers = ["nobody"]', "peers that do not exist: nobody"),
        ('name = "web"', 'name = "pacs"', "two peers have one name"),
        ('url = "https:', 'url = "file:', r"peers.1.stow.url"),
        ('name = "chest"', 'name = "chest"\nsop_classes = ["CT"]', "CT: each should be one of"),
        ('name = "chest"', 'name = "chest"\nquery = { objects = "seg" }', "settings of the peers"),
        ("folder", "folders", "folders: Extra inputs"),
        ("[[rules]]", "[[rules]", "is not TOML"),
    ],
)
def test_an_invalid_file_is_one_clear_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(InvalidConfiguration, match=reason) as caught:
        read_configuration(written(tmp_path, VALID.replace(old, new, 1)))
    assert "\n" not in str(caught.value).split("is not TOML")[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"missing\.toml: No such file"):
        read_configuration(tmp_path / "missing.toml")


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = written(tmp_path, "s3cret\n")
    assert read_secret(path) == "s3cret"
    assert read_secret(None) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"caf\xc3\xa9", b"a\nb"])
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(InvalidConfiguration):
        read_secret(path)
