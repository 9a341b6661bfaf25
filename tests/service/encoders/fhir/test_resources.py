"""References, codes and numbers are right, which no schema of FHIR checks."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from service.encoders.fhir import concepts
from service.encoders.fhir.resources import (
    Bundle,
    Coding,
    Device,
    DeviceVersion,
    Entry,
    Identifier,
    Observation,
    Quantity,
    Reference,
)

ADDRESS = "urn:uuid:354c8e32-580e-4cb3-bb03-f854a3a9ca72"
OTHER = "urn:uuid:00000000-580e-4cb3-bb03-f854a3a9ca72"
DEVICE = Device(id="d", identifier=(Identifier(value="7"),), version=(DeviceVersion(value="1"),))


def bundle(*references: Reference, device_address: str = ADDRESS) -> Bundle:
    entries = [Entry(full_url=device_address, resource=DEVICE)]
    for number, reference in enumerate(references):
        made = Observation(
            id=str(number), category=(concepts.IMAGING,), code=concepts.CAUTION, device=reference
        )
        address = f"{OTHER[:-1]}{number}"
        entries.append(Entry(full_url=address, resource=made))
    now = datetime.now(UTC)
    return Bundle(id="b", identifier=Identifier(value="7"), timestamp=now, entry=tuple(entries))


def test_a_reference_to_an_entry_of_its_type_is_accepted() -> None:
    assert len(bundle(Reference(reference=ADDRESS, type="Device")).entry) == 2


@pytest.mark.parametrize(
    "reference",
    [
        Reference(reference=OTHER, type="Device"),
        Reference(reference=ADDRESS, type="Patient"),
        Reference(reference=ADDRESS),
        Reference(type="Device"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference: Reference) -> None:
    with pytest.raises(ValidationError, match="reference"):
        bundle(reference)


def test_two_entries_with_one_address_are_refused() -> None:
    with pytest.raises(ValidationError, match="same address"):
        bundle(Reference(reference=ADDRESS, type="Device"), device_address=f"{OTHER[:-1]}0")


@pytest.mark.parametrize(
    ("system", "code", "display"),
    [
        ("", "1", "x"),
        ("SCT", "1", "x"),
        ("urn:a", "", "x"),
        ("urn:a", " 1", "x"),
        ("urn:a", "1", ""),
    ],
)
def test_an_incomplete_code_is_refused(system: str, code: str, display: str) -> None:
    with pytest.raises(ValidationError):
        Coding(system=system, code=code, display=display)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        Quantity(value=value, unit="1", code="1")


def test_a_status_outside_of_the_value_set_is_refused() -> None:
    with pytest.raises(ValidationError):
        Device.model_validate({**DEVICE.model_dump(), "status": "nonsense"})
