"""DICOM Audit Messages: entries of the audit log as the XML of the Audit Trail profile.

    inference, job item            -> DICOM Instances Accessed (110103)
    instance received, result sent -> DICOM Instances Transferred (110104)
    start, stop                    -> Application Activity (110100)
    alias, canary, version         -> Security Alert (110113), Software Configuration (110131)
    API key                        -> Security Alert (110113), User Security Attributes (110137)
    refused credential             -> User Authentication (110114), Login (110122)

The profile asks for a patient and a study as participating objects. This service reads neither from
a file, and its log may not hold them: the object is a URI of the pseudonym of the SOP Instance UID,
or of the SHA-256 of a file without one.

Source: DICOM PS3.15 A.5 (2024), CIDs 400 to 404; RFC 3881 (object and outcome codes).
"""

from base64 import b64encode
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from service.audit.chain.entry import Act, Entry, Row
from service.audit.messages.syslog import SyslogSender

_APPLICATION_SERVER = "4"
_INFERENCES = (Act.INFER, Act.INFER_JOB_ITEM)
_TRANSFERS = {Act.INSTANCE_RECEIVED: "radiograph", Act.RESULT_SENT: "result"}
"""Acts that transfer an instance, and the name of what is transferred."""
_SUCCESS, _MINOR_FAILURE, _SERIOUS_FAILURE = "0", "4", "8"
_SYSTEM_OBJECT, _REPORT, _RESOURCE, _SECURITY_USER = "2", "3", "4", "11"


@dataclass(frozen=True)
class _Code:
    """A coded value; `scheme` is its coding scheme."""

    value: str
    meaning: str
    scheme: str = "DCM"


_ACCESSED = _Code("110103", "DICOM Instances Accessed")
_TRANSFERRED = _Code("110104", "DICOM Instances Transferred")
_ACTIVITY = _Code("110100", "Application Activity")
_ALERT = _Code("110113", "Security Alert")
_AUTHENTICATION = _Code("110114", "User Authentication")
_START = _Code("110120", "Application Start")
_STOP = _Code("110121", "Application Stop")
_LOGIN = _Code("110122", "Login")
_CONFIGURATION = _Code("110131", "Software Configuration")
_USER_ATTRIBUTES = _Code("110137", "User Security Attributes Changed")
_APPLICATION = _Code("110150", "Application")
_URI = _Code("12", "URI", "RFC-3881")


class AtnaForwarder:
    """Sends every entry that was written as a DICOM Audit Message.

    Args:
        sender: sends the messages.
    """

    def __init__(self, sender: SyslogSender) -> None:
        self._sender = sender

    def start(self) -> None:
        """Start to send."""
        self._sender.start()

    def forward(self, entry: Entry, row: Row) -> None:
        """Queue the message of an entry."""
        self._sender.send(row.time, audit_message(entry, row))

    def close(self) -> None:
        """Send what is queued if possible. Blocks."""
        self._sender.close()


def audit_message(entry: Entry, row: Row) -> str:
    """Return the audit message of an entry, without an XML declaration."""
    message = Element("AuditMessage")
    _add_event(message, entry, row.time)
    if entry.act not in (Act.STARTED, Act.STOPPED):
        SubElement(message, "ActiveParticipant", UserID=entry.principal, UserIsRequestor="true")
    service = SubElement(message, "ActiveParticipant", UserID=row.writer, UserIsRequestor="false")
    _add_code(service, "RoleIDCode", _APPLICATION)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=row.writer)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    if entry.act in _INFERENCES:
        _add_radiograph(message, entry)
    if entry.act in _TRANSFERS and entry.instance is not None:
        _add_radiograph(message, entry, _TRANSFERS[entry.act])
    if entry.model is not None:
        _add_model(message, entry)
    if entry.key is not None:
        _add_key(message, entry)
    return tostring(message, encoding="unicode")


def _add_event(message: Element, entry: Entry, time: str) -> None:
    event = SubElement(
        message,
        "EventIdentification",
        EventActionCode=_action(entry.act),
        EventDateTime=time,
        EventOutcomeIndicator=_outcome(entry),
    )
    kind, detail = _kind(entry.act)
    _add_code(event, "EventID", kind)
    if detail is not None:
        _add_code(event, "EventTypeCode", detail)
    if entry.problem is not None:
        SubElement(event, "EventOutcomeDescription").text = entry.problem


def _action(act: Act) -> str:
    """Return Read for an inference, Create for a transfer, Execute for everything else."""
    if act in _INFERENCES:
        return "R"
    return "C" if act in _TRANSFERS else "E"


def _kind(act: Act) -> tuple[_Code, _Code | None]:
    match act:
        case Act.INFER | Act.INFER_JOB_ITEM:
            return _ACCESSED, None
        case Act.INSTANCE_RECEIVED | Act.RESULT_SENT:
            return _TRANSFERRED, None
        case Act.STARTED:
            return _ACTIVITY, _START
        case Act.STOPPED:
            return _ACTIVITY, _STOP
        case Act.KEY_CREATED | Act.KEY_CHANGED | Act.KEY_REVOKED:
            return _ALERT, _USER_ATTRIBUTES
        case Act.CREDENTIAL_REFUSED:
            return _AUTHENTICATION, _LOGIN
        case _:
            return _ALERT, _CONFIGURATION


def _outcome(entry: Entry) -> str:
    if entry.act is Act.VERSION_REFUSED:
        return _SERIOUS_FAILURE
    if entry.status is None or entry.status < 400:
        return _SUCCESS
    return _MINOR_FAILURE if entry.status < 500 else _SERIOUS_FAILURE


def _add_radiograph(message: Element, entry: Entry, name: str = "radiograph") -> None:
    """Add an instance under its pseudonym, and the digests by which it can be found again."""
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_radiograph_uri(entry),
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_REPORT,
    )
    _add_code(found, "ParticipantObjectIDTypeCode", _URI)
    SubElement(found, "ParticipantObjectName").text = name
    details = {
        "InputSHA256": entry.input_sha256,
        "ResultSHA256": entry.result_sha256,
        "Tasks": ",".join(entry.tasks) or None,
        "RequestID": entry.request_id,
    }
    _add_details(found, details)


def _radiograph_uri(entry: Entry) -> str:
    if entry.instance is not None:
        return f"urn:g2d:instance:{entry.instance}"
    return f"urn:g2d:file:sha256:{entry.input_sha256}"


def _add_model(message: Element, entry: Entry) -> None:
    """Add the version that answered or was changed."""
    version = "" if entry.version is None else f"/{entry.version}"
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"urn:g2d:model:{entry.model}{version}",
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_RESOURCE,
    )
    _add_code(found, "ParticipantObjectIDTypeCode", _URI)
    SubElement(found, "ParticipantObjectName").text = "model version"
    _add_details(found, {"ManifestSHA256": entry.digest, "Alias": entry.alias})


def _add_key(message: Element, entry: Entry) -> None:
    """Add the API key that was changed, and its owner."""
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"urn:g2d:{entry.key}",
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_SECURITY_USER,
    )
    _add_code(found, "ParticipantObjectIDTypeCode", _URI)
    SubElement(found, "ParticipantObjectName").text = "API key"
    _add_details(found, {"Owner": entry.owner, "Change": entry.act.value})


def _add_details(parent: Element, details: dict[str, str | None]) -> None:
    for name, value in details.items():
        if value is not None:
            encoded = b64encode(value.encode()).decode()
            SubElement(parent, "ParticipantObjectDetail", type=name, value=encoded)


def _add_code(parent: Element, tag: str, code: _Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    SubElement(parent, tag, attributes)
