"""Workitem: what the gateway needs of one, read from a data set that is not trusted.

    data set --state, station, procedure, readiness--> is it ours?
             --Input Information Sequence, allow-list--> references

Source: PS3.3 sections C.30.1 to C.30.3, table 10-3b; PS3.4 annex CC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from service.dicomweb.references import Reference
from service.dicomweb.servers import Servers
from service.gateway.configuration import Code, Worklist
from service.gateway.errors import InputsRefused
from service.gateway.worklist.dicom_json import has_code, items, text

STATE = "00741000"
"""Procedure Step State."""
SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
UID = "00080018"
"""SOP Instance UID."""
STATION, PROCEDURE = "00404025", "00404018"
"""Scheduled Station Name Code Sequence, Scheduled Workitem Code Sequence."""
_READINESS, _PRIORITY, _START = "00404041", "00741200", "00404005"
_INPUTS, _STUDY, _SERIES = "00404021", "0020000D", "0020000E"
_REFERENCED, _INSTANCE = "00081199", "00081155"
_TYPE, _WADO_RS, _URL = "0040E020", "0040E025", "00081190"
_PRIORITIES = ("HIGH", "MEDIUM", "LOW")
_MAX_UID = 64


@dataclass(frozen=True)
class Candidate:
    """A workitem that may be claimed.

    Attributes:
        uid: its SOP Instance UID.
        procedure: the code that was asked for.
        order: sorts by priority and scheduled start.
    """

    uid: str
    procedure: Code
    order: tuple[int, str]


def uid_of(data_set: object) -> str | None:
    """Return the SOP Instance UID of a workitem, or None if it has no well-formed one."""
    uid = text(data_set, UID)
    parts = uid.split(".")
    is_uid = all(part.isascii() and part.isdigit() for part in parts)
    return uid if is_uid and len(uid) <= _MAX_UID else None


def candidate(data_set: object, worklist: Worklist) -> Candidate | None:
    """Return what may be claimed, or None for a workitem that is not for this gateway.

    The query of the worklist has asked for the same, but a server need not support every key.
    """
    uid = uid_of(data_set)
    procedure = has_code(data_set, PROCEDURE, worklist.procedures)
    if uid is None or procedure is None or text(data_set, STATE) != SCHEDULED:
        return None
    if has_code(data_set, STATION, [worklist.station]) is None:
        return None
    if text(data_set, _READINESS) not in ("READY", ""):
        return None
    priority = text(data_set, _PRIORITY)
    rank = _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)
    return Candidate(uid, procedure, (rank, text(data_set, _START)[:26]))


def references(
    data_set: object, servers: Servers, default: str | None, limit: int
) -> list[Reference]:
    """Return references to the inputs of a workitem, each to a server of the allow-list.

    Args:
        data_set: the workitem.
        servers: the servers of the allow-list.
        default: name of the server for inputs that name no address of WADO-RS.
        limit: most references.

    Raises:
        InputsRefused: there are none or too many, or one is not to be had from these servers.
    """
    found: dict[Reference, None] = {}
    for item in items(data_set, _INPUTS):
        for reference in _of_item(item, servers, default):
            found[reference] = None
            if len(found) > limit:
                raise InputsRefused("too_many_inputs")
    if not found:
        raise InputsRefused("no_inputs")
    return list(found)


def _of_item(item: object, servers: Servers, default: str | None) -> Iterator[Reference]:
    if text(item, _TYPE) not in ("DICOM", ""):
        raise InputsRefused("not_dicom")
    server = _server(item, servers, default)
    named = [text(reference, _INSTANCE) for reference in items(item, _REFERENCED)]
    study, series = text(item, _STUDY), text(item, _SERIES) or None
    instances: Sequence[str | None] = named or [None]
    try:
        for instance in instances:
            yield Reference(server=server, study=study, series=series, instance=instance)
    except ValidationError:
        raise InputsRefused("malformed_inputs") from None


def _server(item: object, servers: Servers, default: str | None) -> str:
    """Return the name of the server that an item is to be retrieved from.

    An address is compared with the allow-list, and must be that of the item's study; what is
    retrieved is built from the UIDs of the item.

    Raises:
        InputsRefused: no address is that of a server of the allow-list.
    """
    addresses = [text(way, _URL) for way in items(item, _WADO_RS)]
    for address in addresses:
        try:
            reference = servers.reference(address)
        except (ValueError, ValidationError):
            continue
        if reference.study != text(item, _STUDY):
            raise InputsRefused("malformed_inputs")
        return reference.server
    if addresses or default is None:
        raise InputsRefused("not_on_the_allow_list")
    return default
