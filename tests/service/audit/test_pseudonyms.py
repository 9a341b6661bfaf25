"""Pseudonyms under a key, and the file of the key."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from service.audit.pseudonyms import Pseudonyms, ensure_key, read_key
from service.errors import InvalidSettings

KEY = bytes(range(32))


def test_a_pseudonym_is_the_hmac_of_the_identifier() -> None:
    expected = hmac.new(KEY, b"1.2.840.1", hashlib.sha256).hexdigest()
    assert Pseudonyms(KEY).of("1.2.840.1") == expected
    assert Pseudonyms(bytes(32)).of("1.2.840.1") != expected
    assert Pseudonyms(KEY).of(None) is None


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = ensure_key(tmp_path / "key")
    assert len(made) == 32
    assert ensure_key(tmp_path / "key") == made == read_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31, "ab" * 65, "abc" * 23, "é" * 64])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(InvalidSettings, match="64 to 128 hexadecimal digits") as error:
        read_key(tmp_path / "key")
    assert not text or text not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_KEY_FILE"):
        read_key(tmp_path / "key")
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_KEY_FILE"):
        ensure_key(tmp_path / "no folder" / "key")
