"""Payloads: what the performer tells the worklist about a workitem.

Source: PS3.3 sections C.30.1 (progress) and C.30.3 (performed procedure), PS3.4 table CC.2.5-3
(what each final state requires).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from service.gateway.configuration import Code, DimsePeer, StowPeer
from service.gateway.storage.records import Output
from service.gateway.worklist.dicom_json import code_sequence, element

_PROGRESS, _PERCENT, _DESCRIPTION = "00741002", "00741004", "00741006"
_CANCELED_AT, _REASON, _REASON_CODES = "00404052", "00741238", "0074100E"
_PERFORMED, _STATION, _PROCEDURE = "00741216", "00404028", "00404019"
_START, _END, _OUTPUTS = "00404050", "00404051", "00404033"
_TYPE, _STUDY, _SERIES = "0040E020", "0020000D", "0020000E"
_REFERENCED, _CLASS, _INSTANCE = "00081199", "00081150", "00081155"
_DICOM_RETRIEVAL, _AE_TITLE = "0040E021", "00080054"
_WADO_RS_RETRIEVAL, _URL = "0040E025", "00081190"

_EQUIPMENT_FAILURE = Code(value="110501", scheme="DCM", meaning="Equipment failure")
_UNSPECIFIED = Code(value="110513", scheme="DCM", meaning="Discontinued for unspecified reason")
_MALFORMED = Code(value="110521", scheme="DCM", meaning="Objects incorrectly formatted")
_UNSUPPORTED = Code(value="110522", scheme="DCM", meaning="Object Types not supported")
_INCOMPLETE = Code(value="110523", scheme="DCM", meaning="Object Set incomplete")
_CODES: Mapping[str, Code] = {
    "no_inputs": _INCOMPLETE,
    "input_missing": _INCOMPLETE,
    "inputs_unavailable": _INCOMPLETE,
    "not_on_the_allow_list": _INCOMPLETE,
    "too_many_inputs": _UNSUPPORTED,
    "inputs_too_large": _UNSUPPORTED,
    "not_dicom": _UNSUPPORTED,
    "not_taken": _UNSUPPORTED,
    "suppressed": _UNSUPPORTED,
    "malformed_inputs": _MALFORMED,
    "malformed_workitem": _MALFORMED,
    "analysis_failed": _EQUIPMENT_FAILURE,
    "delivery_failed": _EQUIPMENT_FAILURE,
}
"""Procedure Discontinuation Reasons (CID 9300) by our word for the reason."""
_SENTENCES: Mapping[str, str] = {
    "no_inputs": "The workitem names no input.",
    "input_missing": "The server of the inputs does not have one of them.",
    "inputs_unavailable": "The inputs could not be retrieved.",
    "not_on_the_allow_list": "The inputs are not on a server that may be asked.",
    "too_many_inputs": "The workitem has too many inputs.",
    "inputs_too_large": "The inputs are larger than what is allowed.",
    "not_dicom": "An input is no DICOM object.",
    "not_taken": "None of the inputs is a radiograph that is analysed here.",
    "suppressed": "A warning about the radiographs suppresses their results.",
    "malformed_inputs": "The inputs are not named by well-formed identifiers.",
    "malformed_workitem": "The workitem cannot be read.",
    "analysis_failed": "A radiograph could not be analysed.",
    "delivery_failed": "A result could not be stored.",
    "cancel_requested": "The cancellation was requested.",
}


def progress(percent: int, description: str) -> dict[str, Any]:
    """Return the progress in percent."""
    return {
        _PROGRESS: element(
            "SQ",
            {
                _PERCENT: element("DS", str(percent)),
                _DESCRIPTION: element("ST", description),
            },
        )
    }


def cancellation(reason: str, detail: str, at: float) -> dict[str, Any]:
    """Return why and when a workitem was discontinued.

    Args:
        reason: our word for the reason.
        detail: words that say more about it, such as the code of a warning, or empty.
        at: seconds since 1970.
    """
    sentence = _SENTENCES.get(reason, "The work was discontinued.")
    return {
        _PROGRESS: element(
            "SQ",
            {
                _CANCELED_AT: element("DT", moment(at)),
                _REASON: element("LT", f"{sentence} ({detail})" if detail else sentence),
                _REASON_CODES: code_sequence(_CODES.get(reason, _UNSPECIFIED)),
            },
        )
    }


def performed(
    station: Code,
    procedure: Code,
    started: float,
    ended: float,
    outputs: Sequence[Output],
    peers: Sequence[DimsePeer | StowPeer],
) -> dict[str, Any]:
    """Return what was performed, with references to the results and where they are.

    Args:
        station: code of the gateway.
        procedure: code of what was asked for.
        started, ended: seconds since 1970.
        outputs: results that peers have.
        peers: the peers.
    """
    item = {
        _STATION: code_sequence(station),
        _START: element("DT", moment(started)),
        _PROCEDURE: code_sequence(procedure),
        _END: element("DT", moment(ended)),
        _OUTPUTS: element("SQ", *_references(outputs, peers)),
    }
    return {_PERFORMED: element("SQ", item)}


def moment(seconds: float) -> str:
    """Return a time as DT, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S+0000")


def _references(
    outputs: Iterable[Output], peers: Iterable[DimsePeer | StowPeer]
) -> Iterable[dict[str, Any]]:
    """Return an item for each series and each peer that has it (PS3.3 table 10-3b)."""
    by_name = {peer.name: peer for peer in peers}

    def place(output: Output) -> tuple[str, str, str]:
        result = output.result
        return result.study_instance_uid, result.series_instance_uid, output.peer

    for (study, series, name), group in groupby(sorted(outputs, key=place), place):
        references = [
            {
                _CLASS: element("UI", output.result.sop_class_uid),
                _INSTANCE: element("UI", output.result.sop_instance_uid),
            }
            for output in group
        ]
        uids = {tag: element("UI", uid) for tag, uid in ((_STUDY, study), (_SERIES, series)) if uid}
        yield {
            _TYPE: element("CS", "DICOM"),
            **uids,
            _REFERENCED: element("SQ", *references),
            **_access(by_name.get(name), study, series),
        }


def _access(peer: DimsePeer | StowPeer | None, study: str, series: str) -> dict[str, Any]:
    if isinstance(peer, DimsePeer):
        item = {_AE_TITLE: element("AE", peer.ae_title)}
        return {_DICOM_RETRIEVAL: element("SQ", item)}
    if isinstance(peer, StowPeer) and study:
        path = f"/studies/{study}" + (f"/series/{series}" if series else "")
        url = peer.url.rstrip("/") + path
        return {_WADO_RS_RETRIEVAL: element("SQ", {_URL: element("UR", url)})}
    return {}
