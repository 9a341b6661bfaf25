"""A signature proves that a holder of a trusted key published exactly this manifest."""

import base64
import stat
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion, UnsignedVersion, UnusableKey
from radiograph.repository.integrity.signatures import SecretKey, SignaturePolicy, TrustedKeys
from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, manifest_of

# The example of minisign's own documentation: a signature of the four bytes "test".
KNOWN_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
KNOWN_SIGNATURE = """untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
"""

KEY = SecretKey.new()
OTHER = SecretKey.new()


def signed_by(repository: Repository, key: SecretKey = KEY) -> Path:
    return repository.sign(NAME, 1, key)


def trusting(repository: Repository, *keys: SecretKey, required: bool = True) -> Repository:
    policy = SignaturePolicy(TrustedKeys(*(key.public for key in keys)), required)
    return Repository(repository.root, policy)


def test_a_signature_of_minisign_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "minisign.pub"
    path.write_text(f"untrusted comment: minisign public key\n{KNOWN_KEY}\n")
    keys = TrustedKeys.read(path)
    assert keys.verify(b"test", KNOWN_SIGNATURE).line == KNOWN_KEY
    with pytest.raises(UnsignedVersion, match="not of this manifest"):
        keys.verify(b"Test", KNOWN_SIGNATURE)
    with pytest.raises(UnsignedVersion, match="not of this manifest"):
        keys.verify(b"test", KNOWN_SIGNATURE.replace("file:test", "file:best"))


def test_a_signed_version_is_verified(repository: Repository, version: Path) -> None:
    path = signed_by(repository)
    assert path == version.parent / "1.minisig"
    assert trusting(repository, OTHER, KEY).verify(NAME, 1).pinned
    assert f"small/1 sha256:{repository.digest(NAME, 1)}" in path.read_text()
    assert repository.versions(NAME) == [1]


def test_an_unsigned_version_is_refused_where_a_signature_is_required(
    repository: Repository, version: Path
) -> None:
    with pytest.raises(UnsignedVersion, match="small/1: the version has no signature"):
        trusting(repository, KEY).verify(NAME, 1)
    trusting(repository, KEY, required=False).verify(NAME, 1)


def test_a_signature_of_another_key_is_refused_even_where_none_is_required(
    repository: Repository, version: Path
) -> None:
    signed_by(repository, OTHER)
    for required in (True, False):
        with pytest.raises(UnsignedVersion, match="a key that is not trusted"):
            trusting(repository, KEY, required=required).verify(NAME, 1)


def test_a_key_that_claims_the_identity_of_a_trusted_one_is_refused(
    repository: Repository, version: Path
) -> None:
    signed_by(repository, SecretKey(KEY.key_id, OTHER.private))
    with pytest.raises(UnsignedVersion, match="not of this manifest"):
        trusting(repository, KEY).verify(NAME, 1)


def test_an_altered_manifest_is_refused_even_if_its_pin_was_altered_too(
    repository: Repository, version: Path
) -> None:
    signed_by(repository)
    text = (version / "manifest.json").read_text()
    (version / "manifest.json").write_text(text.replace("Pneumonia", "Effusion"))
    (version.parent / "index.json").unlink()
    repository.pin(NAME, 1)
    with pytest.raises(UnsignedVersion, match="not of this manifest"):
        trusting(repository, KEY).verify(NAME, 1)


def test_an_altered_file_is_refused(repository: Repository, version: Path) -> None:
    signed_by(repository)
    (version / "golden.npz").write_bytes(b"other")
    with pytest.raises(InvalidVersion, match=r"golden\.npz does not have the digest"):
        trusting(repository, KEY).verify(NAME, 1)


def test_a_signature_of_another_version_is_refused(
    repository: Repository, stage: Path, version: Path
) -> None:
    path = signed_by(repository)
    repository.publish(NAME, stage, manifest_of(stage))
    (version.parent / "2.minisig").write_bytes(path.read_bytes())
    with pytest.raises(UnsignedVersion, match="not of this manifest"):
        trusting(repository, KEY).verify(NAME, 2)


def test_an_older_signed_version_stays_valid_under_any_alias(
    repository: Repository, stage: Path, version: Path
) -> None:
    """Signatures are of versions, not of aliases: who may move an alias can choose among them."""
    signed_by(repository)
    repository.publish(NAME, stage, manifest_of(stage), alias="stable")
    repository.sign(NAME, 2, KEY)
    repository.set_alias(NAME, "stable", 1)
    assert trusting(repository, KEY).verify(NAME, 1).manifest.version == 1


@pytest.mark.parametrize("kept", [0, 1, 40, 80, 150, 200, 290])
def test_a_truncated_signature_is_refused(repository: Repository, version: Path, kept: int) -> None:
    path = signed_by(repository)
    text = path.read_bytes()
    assert len(text) > kept
    path.write_bytes(text[:kept])
    with pytest.raises(UnsignedVersion):
        trusting(repository, KEY).verify(NAME, 1)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00",
        b"\n" * 4,
        b"untrusted comment: x\n!!!!\ntrusted comment: y\n!!!!\n",
        b"untrusted comment: x\n" + base64.b64encode(bytes(74)) + b"\ntrusted comment: y\nAAAA\n",
        b"x" * 2_000_000,
    ],
)
def test_a_file_that_is_no_signature_is_refused(
    repository: Repository, version: Path, text: bytes
) -> None:
    signed_by(repository).write_bytes(text)
    with pytest.raises(UnsignedVersion, match="small/1"):
        trusting(repository, KEY).verify(NAME, 1)


def test_a_signature_that_is_a_link_or_a_folder_is_refused(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    path = signed_by(repository)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsignedVersion):
        trusting(repository, KEY).verify(NAME, 1)
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidVersion):
        trusting(repository, KEY).verify(NAME, 1)


def test_a_damaged_version_is_not_signed(repository: Repository, version: Path) -> None:
    (version / "trunk.onnx").write_bytes(b"other")
    with pytest.raises(InvalidVersion, match=r"trunk\.onnx"):
        signed_by(repository)
    assert not (version.parent / "1.minisig").exists()


def test_a_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    KEY.write(path)
    assert SecretKey.read(path).public == KEY.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    signature = SecretKey.read(path).sign(b"message", "comment")
    trusted = TrustedKeys.read(tmp_path / "publisher.key.pub")
    assert trusted.verify(b"message", signature) == KEY.public
    with pytest.raises(FileExistsError):
        OTHER.write(path)


def test_a_damaged_or_protected_secret_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    KEY.write(path)
    comment, line = path.read_text().splitlines()
    data = bytearray(base64.b64decode(line))
    for position, value, reason in ((70, 0xFF, "damaged"), (2, ord("S"), "has a password")):
        changed = bytearray(data)
        changed[position] ^= value
        path.write_text(f"{comment}\n{base64.b64encode(changed).decode()}\n")
        with pytest.raises(UnusableKey, match=reason):
            SecretKey.read(path)


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"untrusted comment: x\n", b"RWQf\n", KNOWN_KEY[:-8].encode(), b"a\nb\n"]
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text)
    with pytest.raises(UnusableKey, match="keys"):
        TrustedKeys.read(path)
    with pytest.raises(UnusableKey, match="keys"):
        SecretKey.read(path)
