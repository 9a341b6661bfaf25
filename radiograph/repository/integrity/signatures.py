"""Signatures of versions: detached Ed25519 signatures of the manifest, in the format of minisign.

    models/g2d-cxr/4/manifest.json --SecretKey.sign--> models/g2d-cxr/4.minisig
    service: manifest.json + 4.minisig + trusted public keys --> accepted, or UnsignedVersion

    minisign -Vm 4/manifest.json -x 4.minisig -p publisher.pub      does the same check

The manifest holds the name and number of the version and the digest of every file, so a signature
cannot be moved to another version or survive a change of a file. A signature is of the BLAKE2b
hash of the manifest (algorithm `ED`); the trusted comment is signed with it.

Source: https://jedisct1.github.io/minisign/ (signature and key formats).
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from radiograph.errors import UnsignedVersion, UnusableKey
from radiograph.repository.integrity.version_files import read_json

SUFFIX = ".minisig"

_KEY = b"Ed"
_HASHED = b"ED"
_ID_BYTES = 8
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
_SECRET_BYTES = 158
_PUBLIC_BYTES = 42
_SIGNATURE_BYTES = 74


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies signatures.

    Attributes:
        key_id: 8 bytes by which a signature names its key.
        raw: the Ed25519 key, 32 bytes.
    """

    key_id: bytes
    raw: bytes

    def accepts(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key signed a message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @property
    def line(self) -> str:
        """The key as minisign prints it."""
        return base64.b64encode(_KEY + self.key_id + self.raw).decode()

    @property
    def name(self) -> str:
        """The identity of the key as minisign prints it."""
        return self.key_id[::-1].hex().upper()


@dataclass(frozen=True)
class SecretKey:
    """A key that signs. Its representation holds no secret.

    Attributes:
        key_id: 8 bytes by which signatures name the key.
        private: the Ed25519 key.
    """

    key_id: bytes
    private: Ed25519PrivateKey

    @classmethod
    def new(cls) -> "SecretKey":
        """Make a key."""
        return cls(secrets.token_bytes(_ID_BYTES), Ed25519PrivateKey.generate())

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self.key_id, self.private.public_key().public_bytes_raw())

    def sign(self, message: bytes, comment: str) -> str:
        """Return the text of a signature file.

        Args:
            message: what is signed.
            comment: one line that is signed with it.
        """
        signature = self.private.sign(hashlib.blake2b(message).digest())
        signed = base64.b64encode(_HASHED + self.key_id + signature).decode()
        both = base64.b64encode(self.private.sign(signature + comment.encode())).decode()
        untrusted = f"{_UNTRUSTED}signature of the key {self.public.name}"
        return f"{untrusted}\n{signed}\n{_TRUSTED}{comment}\n{both}\n"

    def write(self, path: Path) -> None:
        """Write the key, readable by its owner only, and its public half to `<path>.pub`.

        Raises:
            OSError: one of the files exists already, or cannot be written.
        """
        seed = self.private.private_bytes_raw() + self.public.raw
        check = hashlib.blake2b(_KEY + self.key_id + seed, digest_size=32).digest()
        unencrypted = _KEY + b"\0\0" + b"B2" + bytes(32 + 8 + 8)
        secret = base64.b64encode(unencrypted + self.key_id + seed + check).decode()
        _write_new(path, f"{_UNTRUSTED}secret key {self.public.name}\n{secret}\n", 0o600)
        public = f"{_UNTRUSTED}public key {self.public.name}\n{self.public.line}\n"
        _write_new(path.with_name(f"{path.name}.pub"), public, 0o644)

    @classmethod
    def read(cls, path: Path) -> "SecretKey":
        """Read a key without a password, as `g2d models keygen` and `minisign -GW` write it.

        Raises:
            UnusableKey: the file cannot be read, or holds no such key.
        """
        lines = _lines(path)
        data = _decoded(lines[1]) if len(lines) == 2 else b""
        if len(data) != _SECRET_BYTES or data[:2] != _KEY:
            raise UnusableKey(f"{path.name} is not a secret key of minisign")
        if data[2:4] != b"\0\0":
            raise UnusableKey(f"{path.name} has a password: make a key without (minisign -GW)")
        key_id, seed, check = data[54:62], data[62:126], data[126:]
        if not hmac.compare_digest(
            hashlib.blake2b(_KEY + key_id + seed, digest_size=32).digest(), check
        ):
            raise UnusableKey(f"{path.name} is damaged")
        return cls(key_id, Ed25519PrivateKey.from_private_bytes(seed[:32]))


class TrustedKeys:
    """The public keys whose signatures are accepted.

    Args:
        keys: the keys.
    """

    def __init__(self, *keys: PublicKey) -> None:
        self._keys = keys

    @classmethod
    def read(cls, path: Path) -> "TrustedKeys":
        """Read one or more public keys of minisign; comments and empty lines are skipped.

        Raises:
            UnusableKey: the file cannot be read, holds no key, or a line is not a key.
        """
        keys = []
        for line in _lines(path):
            if not line.strip() or line.startswith((_UNTRUSTED, "#")):
                continue
            data = _decoded(line.strip())
            if len(data) != _PUBLIC_BYTES or data[:2] != _KEY:
                raise UnusableKey(f"{path.name} has a line that is not a public key of minisign")
            keys.append(PublicKey(data[2:10], data[10:]))
        if not keys:
            raise UnusableKey(f"{path.name} holds no public key")
        return cls(*keys)

    def verify(self, message: bytes, signature: str) -> PublicKey:
        """Verify the text of a signature file.

        Returns:
            The key that signed.

        Raises:
            UnsignedVersion: the text is not a signature, of another message, or of another key.
        """
        lines = signature.splitlines()
        signed = _decoded(lines[1]) if len(lines) == 4 else b""
        if len(signed) != _SIGNATURE_BYTES or not lines[2].startswith(_TRUSTED):
            raise UnsignedVersion("the signature is not one of minisign")
        if signed[:2] != _HASHED:
            raise UnsignedVersion("the signature is not of the hash of the manifest (ED)")
        comment = lines[2].removeprefix(_TRUSTED).encode()
        named = [key for key in self._keys if key.key_id == signed[2:10]]
        if not named:
            raise UnsignedVersion("the signature is of a key that is not trusted")
        digest = hashlib.blake2b(message).digest()
        for key in named:
            whole = key.accepts(signed[10:] + comment, _decoded(lines[3]))
            if whole and key.accepts(digest, signed[10:]):
                return key
        raise UnsignedVersion("the signature is not of this manifest")


@dataclass(frozen=True)
class SignaturePolicy:
    """The signatures that versions must have.

    Attributes:
        keys: keys that are trusted; a signature that exists must be of one of them.
        required: whether a version without a signature is refused.
    """

    keys: TrustedKeys
    required: bool = True

    def check(self, manifest: bytes, path: Path) -> None:
        """Verify the signature file of a manifest.

        Raises:
            UnsignedVersion: there is none although it is required, or it is not valid.
        """
        try:
            text = read_json(path).decode("utf-8", "replace")
        except FileNotFoundError:
            if self.required:
                raise UnsignedVersion("the version has no signature") from None
            return
        except OSError as error:
            raise UnsignedVersion(f"{path.name}: {error.strerror}") from error
        self.keys.verify(manifest, text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnusableKey(f"{path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnusableKey(f"{path.name} is not a text file") from error


def _decoded(line: str) -> bytes:
    """Return the bytes of a line in base64; none if it is not base64."""
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _write_new(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
