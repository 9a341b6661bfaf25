"""Gateways of tests: configuration, the parts of one process, and sending to it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association

from service.gateway.configuration import Configuration
from service.gateway.gateway import Gateway
from service.settings import AuditSettings
from tests.builders.gateway.archive import AE_TITLE
from tests.builders.gateway.ports import free_port
from tests.builders.gateway.radiographs import parsed

QUICK = {"first_s": 0.01, "longest_s": 0.02, "attempts": 3, "refusals": 3}


def configuration(
    folder: Path,
    service: str,
    archive_port: int,
    peer: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Configuration:
    """Return a configuration with one rule and one peer.

    Args:
        folder: folder of the gateway.
        service: address of the service.
        archive_port: port of the archive.
        peer: keys of the peer that are added or replaced.
        changes: keys of the file that are replaced.
    """
    archive = {"name": "archive", "host": "127.0.0.1", "port": archive_port, "ae_title": AE_TITLE}
    usual = archive | {"protocol": "dimse", "retry": QUICK, "objects": ["seg", "sr"]}
    given: dict[str, Any] = {
        "folder": folder,
        "min_free_bytes": 0,
        "listen": {"port": free_port(), "timeout_s": 5.0},
        "service": {"url": service, "attempts": 2},
        "rules": [{"name": "chest", "peers": ["archive"]}],
        "peers": [{**usual, **peer}],
    }
    return Configuration.model_validate(given | changes)


@contextmanager
def running(configured: Configuration, audit: AuditSettings | None = None) -> Iterator[Gateway]:
    """Run a gateway in this process, without its HTTP server."""
    gateway = Gateway(configured, audit or AuditSettings())
    with gateway.running():
        yield gateway


@contextmanager
def associated(port: int, *files: bytes, calling: str = "MODALITY") -> Iterator[Association]:
    """Open an association with contexts for these files."""
    entity = AE(calling)
    kinds: set[tuple[str, str]] = {
        (data.SOPClassUID, data.file_meta.TransferSyntaxUID) for data in map(parsed, files)
    }
    for sop_class, syntax in kinds or {("1.2.840.10008.1.1", "1.2.840.10008.1.2")}:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", port, ae_title="G2D")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port: int, *files: bytes, calling: str = "MODALITY") -> list[int]:
    """Send files over one association, and return the status of each C-STORE."""
    with associated(port, *files, calling=calling) as association:
        assert association.is_established
        return [int(association.send_c_store(parsed(file)).Status) for file in files]


def is_busy(gateway: Gateway) -> bool:
    """Return whether something is queued for the service or for a peer."""
    counts = gateway.journal.counts()
    queued = counts.instances.get("queued", 0)
    return queued > 0 or any(state == "queued" for _, state in counts.deliveries)


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until a condition holds."""
    due = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < due, "the condition does not come true"
        time.sleep(0.02)
