"""DICOM Audit Messages: elements, attributes and codes as PS3.15 A.5 defines them."""

import base64
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from service.audit.chain.entry import Act, Entry, Head, TimedEntry, linked
from service.audit.messages.atna import audit_message

INFERENCE = Entry(
    Act.INFER,
    principal="key:7",
    request_id="r-1",
    model="g2d-cxr",
    version=3,
    digest="d" * 64,
    tasks=("segment",),
    input_sha256="a" * 64,
    instance="b" * 64,
    result_sha256="c" * 64,
    status=200,
)
ORDER = [
    "EventIdentification",
    "ActiveParticipant",
    "AuditSourceIdentification",
    "ParticipantObjectIdentification",
]
"""Order of the elements of a message, which its schema prescribes."""


def message(entry: Entry) -> ElementTree.Element:
    (row,) = linked(Head("host-1"), [TimedEntry(entry, datetime(2026, 11, 30, tzinfo=UTC))])
    return ElementTree.fromstring(audit_message(entry, row))  # noqa: S314 - our own text


def one(root: ElementTree.Element, path: str) -> ElementTree.Element:
    (found,) = root.findall(path)
    return found


def code(element: ElementTree.Element) -> tuple[str | None, ...]:
    return tuple(element.get(name) for name in ("csd-code", "codeSystemName", "originalText"))


def test_an_inference_is_an_access_to_an_instance() -> None:
    root = message(INFERENCE)
    event = one(root, "EventIdentification")
    assert event.attrib == {
        "EventActionCode": "R",
        "EventDateTime": "2026-11-30T00:00:00.000000Z",
        "EventOutcomeIndicator": "0",
    }
    assert code(one(event, "EventID")) == ("110103", "DCM", "DICOM Instances Accessed")
    user, application = root.findall("ActiveParticipant")
    assert user.attrib == {"UserID": "key:7", "UserIsRequestor": "true"}
    assert application.attrib == {"UserID": "host-1", "UserIsRequestor": "false"}
    assert code(one(application, "RoleIDCode")) == ("110150", "DCM", "Application")
    source = one(root, "AuditSourceIdentification")
    assert source.attrib == {"AuditSourceID": "host-1"}
    assert one(source, "AuditSourceTypeCode").attrib == {"csd-code": "4"}


def test_the_objects_are_the_pseudonym_and_the_version() -> None:
    radiograph, model = message(INFERENCE).findall("ParticipantObjectIdentification")
    assert radiograph.get("ParticipantObjectID") == f"urn:g2d:instance:{'b' * 64}"
    assert radiograph.get("ParticipantObjectTypeCode") == "2"
    assert model.get("ParticipantObjectID") == "urn:g2d:model:g2d-cxr/3"
    for found in (radiograph, model):
        assert code(one(found, "ParticipantObjectIDTypeCode")) == ("12", "RFC-3881", "URI")
    details = {
        detail.get("type"): base64.b64decode(detail.get("value", "")).decode()
        for detail in radiograph.findall("ParticipantObjectDetail")
    }
    assert details == {
        "InputSHA256": "a" * 64,
        "ResultSHA256": "c" * 64,
        "Tasks": "segment",
        "RequestID": "r-1",
    }


@pytest.mark.parametrize(
    ("entry", "event", "kind", "outcome"),
    [
        (Entry(Act.INSTANCE_RECEIVED, "ae:CR1", status=409), "110104", None, "4"),
        (Entry(Act.RESULT_SENT, "peer:pacs", instance="ab", status=200), "110104", None, "0"),
        (Entry(Act.STARTED), "110100", "110120", "0"),
        (Entry(Act.STOPPED), "110100", "110121", "0"),
        (Entry(Act.SET_ALIAS, model="m", version=1, alias="stable"), "110113", "110131", "0"),
        (Entry(Act.VERSION_REFUSED, model="m", version=1), "110113", "110131", "8"),
        (Entry(Act.KEY_REVOKED, key="key:1", owner="pacs"), "110113", "110137", "0"),
        (Entry(Act.CREDENTIAL_REFUSED, "unknown", status=401), "110114", "110122", "4"),
        (Entry(Act.INFER, input_sha256="a", status=400, problem="urn:p"), "110103", None, "4"),
        (Entry(Act.INFER, input_sha256="a", status=503, problem="urn:p"), "110103", None, "8"),
    ],
)
def test_an_act_has_its_codes_and_its_outcome(
    entry: Entry, event: str, kind: str | None, outcome: str
) -> None:
    root = message(entry)
    identification = one(root, "EventIdentification")
    assert one(identification, "EventID").get("csd-code") == event
    kinds = [found.get("csd-code") for found in identification.findall("EventTypeCode")]
    assert kinds == ([] if kind is None else [kind])
    assert identification.get("EventOutcomeIndicator") == outcome


@pytest.mark.parametrize("entry", [INFERENCE, Entry(Act.STARTED), Entry(Act.SET_CANARY, model="m")])
def test_the_elements_are_in_the_order_of_the_schema(entry: Entry) -> None:
    root = message(entry)
    assert root.tag == "AuditMessage"
    positions = [ORDER.index(child.tag) for child in root]
    assert positions == sorted(positions)
    for found in root.findall("ParticipantObjectIdentification"):
        tags = [child.tag.removeprefix("ParticipantObject") for child in found]
        assert tags[:2] == ["IDTypeCode", "Name"]
        assert set(tags[2:]) <= {"Detail"}


def test_a_key_is_named_with_its_owner() -> None:
    found = one(
        message(Entry(Act.KEY_CREATED, key="key:1f", owner="pacs")),
        "ParticipantObjectIdentification",
    )
    assert found.get("ParticipantObjectID") == "urn:g2d:key:1f"
    assert found.get("ParticipantObjectTypeCodeRole") == "11"  # security user entity
    details = {
        item.get("type"): item.get("value") for item in found.findall("ParticipantObjectDetail")
    }
    assert details["Owner"] == base64.b64encode(b"pacs").decode()


def test_a_file_without_a_uid_is_named_by_its_digest() -> None:
    entry = Entry(Act.INFER, input_sha256="a" * 64, status=400, problem="urn:p")
    (radiograph,) = message(entry).findall("ParticipantObjectIdentification")
    assert radiograph.get("ParticipantObjectID") == f"urn:g2d:file:sha256:{'a' * 64}"


def test_a_principal_cannot_add_markup() -> None:
    root = message(Entry(Act.SET_ALIAS, principal='"/><x a="&\n'))
    assert root.findall("ActiveParticipant")[0].get("UserID") == '"/><x a="&\n'
    assert root.find("x") is None
