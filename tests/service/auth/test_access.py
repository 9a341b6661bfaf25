"""A service without authentication is never open to other hosts by accident."""

from pathlib import Path

import pytest

from service.auth.access import Access, check_exposure
from service.errors import InvalidSettings
from service.settings import Settings
from tests.builders.service.auth import api_keys

OTHERS = ["0.0.0.0", "::", "", "192.0.2.1", "g2d.example.org", "127.0.0.1.example.org", "::ffff:0"]  # noqa: S104 - refused


@pytest.mark.parametrize("host", OTHERS)
def test_an_open_service_does_not_listen_to_other_hosts(host: str, tmp_path: Path) -> None:
    for options in ({}, {"admin_token": "a-token-for-tests-only"}):
        with pytest.raises(InvalidSettings, match="G2D_ALLOW_ANONYMOUS") as caught:
            check_exposure(Settings.of(host=host, **options))
        assert "\n" not in str(caught.value)
    check_exposure(Settings.of(host=host, allow_anonymous=True))
    check_exposure(Settings.of(host=host, keys_file=tmp_path / "keys.json"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_open_service_serves_its_own_host(host: str) -> None:
    check_exposure(Settings.of(host=host))


def test_a_file_of_keys_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"^G2D_KEYS_FILE: .*No such file"):
        Access(Settings.of(keys_file=tmp_path / "keys.json"))


def test_an_empty_name_means_no_keys(tmp_path: Path) -> None:
    assert Settings.from_environment({"G2D_KEYS_FILE": ""}).authenticates is False
    api_keys.add(tmp_path / "keys.json", "pacs")
    assert Access(Settings.of(keys_file=tmp_path / "keys.json")).key_file is not None
