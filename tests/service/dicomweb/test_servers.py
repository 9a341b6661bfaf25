"""Only configured servers can be referred to, and only by a plain address."""

from pathlib import Path

import pytest

from service.dicomweb.references import Reference
from service.dicomweb.servers import Servers, read_secret
from service.errors import InvalidSettings

PACS = '[servers.pacs]\nurl = "https://pacs.example/dicom-web/"\n'


def read(tmp_path: Path, text: str) -> Servers:
    file = tmp_path / "servers.toml"
    file.write_text(text)
    return Servers.read(file)


def test_an_address_of_a_server_is_a_reference(tmp_path: Path) -> None:
    servers = read(tmp_path, PACS)
    base = "https://pacs.example/dicom-web/studies/1.2"
    assert servers.reference(base) == Reference(server="pacs", study="1.2")
    full = servers.reference(f"{base}/series/3.4/instances/5.06")
    assert full == Reference(server="pacs", study="1.2", series="3.4", instance="5.06")
    assert full.path == "/studies/1.2/series/3.4/instances/5.06"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/dicom-web/studies/1.2",
        "https://pacs.example@evil.example/dicom-web/studies/1.2",
        "https://user:secret@pacs.example/dicom-web/studies/1.2",
        "https://pacs.example.evil.example/dicom-web/studies/1.2",
        "https://pacs.example:8443/dicom-web/studies/1.2",
        "https://pacs.example/dicom-web.evil/studies/1.2",
        "https://pacs.example/dicom-web//studies/1.2",
        "https://pacs.example/dicom-web/../admin/studies/1.2",
        "https://pacs.example/dicom-web/studies/..",
        "https://pacs.example/dicom-web/studies/1.2/../../x",
        "https://pacs.example/dicom-web/studies/1.2?x=https://evil.example",
        "https://pacs.example/dicom-web/studies/1.2#x",
        "https://pacs.example/dicom-web/studies/1%2e2",
        "https://pacs.example/dicom-web/studies/1.2\n",
        "https://pacs.example/dicom-web/studies/\u0661.2",
        "https://[::1]/dicom-web/studies/1.2",
        "https://[::ffff:169.254.169.254]/studies/1.2",
        "http://pacs.example/dicom-web/studies/1.2",
        "//pacs.example/dicom-web/studies/1.2",
        "/studies/1.2",
        "file:///etc/passwd",
        "",
    ],
)
def test_any_other_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="configured"):
        read(tmp_path, PACS).reference(url)


@pytest.mark.parametrize("uid", ["", ".", "..", "1..2", "1.", "/1", "1/2", "1\n", "a", "1" * 65])
def test_a_uid_that_is_none_is_refused(uid: str) -> None:
    with pytest.raises(ValueError, match="study"):
        Reference(server="pacs", study=uid)


def test_an_instance_is_named_with_its_series() -> None:
    with pytest.raises(ValueError, match="series"):
        Reference(server="pacs", study="1", instance="2")


def test_a_server_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="configured"):
        read(tmp_path, PACS).check(Reference(server="other", study="1"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "servers: Field required"),
        ("[servers]", "at least 1"),
        ("{", "not a TOML file"),
        ("[servers.pacs]", "url: Field required"),
        ('[servers.PACS]\nurl="https://a"', "pattern"),
        ('[servers.pacs]\nurl="ftp://a"', "must start with"),
        ('[servers.pacs]\nurl="https://u:p@a/b"', "keys of their own"),
        ('[servers.pacs]\nurl="https://a/b?c"', "plain path"),
        ('[servers.pacs]\nurl="https://a//b"', "plain path"),
        ('[servers.pacs]\nurl="https://a/../b"', "must not hold"),
        ('[servers.pacs]\nurl="https://a"\nuser="u"', "belong together"),
        (
            '[servers.pacs]\nurl="https://a"\nuser="u"\npassword_file="p"\ntoken_file="t"',
            "not both",
        ),
        ('[servers.pacs]\nurl="http://a"\ntoken_file="t"', "over https"),
        ('[servers.pacs]\nurl="https://a"\ntoken="hush-hush"', "Extra inputs"),
        ('[servers.pacs]\nurl="https://a"\nverify=false', "Extra inputs"),
    ],
)
def test_a_faulty_file_is_refused_without_its_secrets(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(InvalidSettings, match=reason) as caught:
        read(tmp_path, text)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="No such file"):
        Servers.read(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff"])
def test_a_secret_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(InvalidSettings, match="secret"):
        read_secret(file)


def test_a_secret_has_no_white_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" s3cret\n")
    assert read_secret(tmp_path / "secret") == "s3cret"
