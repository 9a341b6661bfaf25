"""Composition of the audit log from its settings."""

from service.audit.auditor import Auditor, OutcomeOf
from service.audit.chain.store import AuditStore, create_file
from service.audit.chain.trail import AuditTrail
from service.audit.messages.atna import AtnaForwarder
from service.audit.messages.syslog import Destination, SyslogSender, tls_context
from service.audit.pseudonyms import Pseudonyms, ensure_key, read_key
from service.audit.transfers import TransferAuditor
from service.observability.observer import NULL_OBSERVER, Observer
from service.settings import AuditSettings

_KEY_SUFFIX = ".key"


def build_auditor(settings: AuditSettings, observer: Observer, outcome_of: OutcomeOf) -> Auditor:
    """Create the audit log that the settings ask for; without one the auditor does nothing.

    Raises:
        InvalidSettings: the file, the key, the URL or a certificate cannot be used.
    """
    trail = _trail(settings, observer)
    if trail is None:
        return Auditor()
    return Auditor(trail, Pseudonyms(_key(settings)), outcome_of)


def build_transfers(settings: AuditSettings) -> TransferAuditor:
    """Create the audit log of a gateway; without one the auditor does nothing.

    Raises:
        InvalidSettings: the file, the key, the URL or a certificate cannot be used.
    """
    trail = _trail(settings, NULL_OBSERVER)
    if trail is None:
        return TransferAuditor()
    return TransferAuditor(trail, Pseudonyms(_key(settings)))


def _trail(settings: AuditSettings, observer: Observer) -> AuditTrail | None:
    if not settings.enabled:
        return None
    return AuditTrail(
        AuditStore(_url(settings)),
        settings.writer,
        refuse=settings.failure == "refuse",
        observer=observer,
        forwarder=_forwarder(settings, observer),
    )


def _url(settings: AuditSettings) -> str:
    if settings.url is not None:
        return settings.url.get_secret_value()
    assert settings.file is not None  # noqa: S101 - one of the two is set
    return create_file(settings.file)


def _key(settings: AuditSettings) -> bytes:
    """Return the key of the settings; beside an SQLite file, one is made."""
    if settings.key_file is not None:
        return read_key(settings.key_file)
    assert settings.file is not None  # noqa: S101 - the settings require a key for a URL
    return ensure_key(settings.file.with_name(settings.file.name + _KEY_SUFFIX))


def _forwarder(settings: AuditSettings, observer: Observer) -> AtnaForwarder | None:
    if settings.syslog is None:
        return None
    host, _, port = settings.syslog.rpartition(":")
    context = tls_context(settings.syslog_ca_file, settings.syslog_certificate_file)
    destination = Destination(host, int(port), context)
    return AtnaForwarder(SyslogSender(destination, settings.writer, observer))
