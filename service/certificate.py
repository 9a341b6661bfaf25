"""Certificate of the service: a TLS context that follows its files.

    files changed --> a context of its own tries them --> loaded into the served context

Connections that are open keep the certificate that they began with.
"""

import logging
import ssl
from pathlib import Path

from service.errors import InvalidSettings

logger = logging.getLogger("g2d.tls")

_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate with its private key, in files that may be replaced at any time.

    Args:
        certificate: PEM file of the certificate and its chain.
        key: PEM file of the private key.

    Attributes:
        context: context for the connections of a server.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files.

        Raises:
            InvalidSettings: the files are no certificate with its key.
        """
        self._files = (certificate, key)
        self._stamp = self._current_stamp()
        try:
            self.context = self._new_context()
        except (OSError, ValueError) as error:
            raise InvalidSettings(
                f"G2D_TLS_CERTIFICATE_FILE, G2D_TLS_KEY_FILE: {_reason(error)}"
            ) from error

    def refresh(self) -> None:
        """Use changed files for new connections; files that do not fit leave it as it was."""
        stamp = self._current_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._new_context()  # a pair that does not fit must not reach the served context
            self._load(self.context)
        except (OSError, ValueError) as error:
            logger.error("the previous certificate stays in use: %s", _reason(error))
            return
        logger.info("the certificate was read again")

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._files
        # An encrypted key is an error: without a password, OpenSSL would ask on the terminal.
        context.load_cert_chain(certificate, key, password="")

    def _current_stamp(self) -> _Stamp | None:
        """Return what changes with the files, or None if one is missing."""
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return tuple((file.st_mtime_ns, file.st_ino, file.st_size) for file in found)


def _reason(error: Exception) -> str:
    """Return a reason without the content of a file."""
    if isinstance(error, ssl.SSLError):
        return f"not a certificate with its unencrypted key ({error.reason})"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "unusable key"
