"""Resources of FHIR, as far as results need them, and the checks that no schema makes.

A field is named as in the specification, in snake case, and left out while it is None. Fields that
only one release has are marked; `document` fills those of the release that it writes.

Source: FHIR R4B (4.3.0) and R5 (5.0.0), https://hl7.org/fhir/R4B, https://hl7.org/fhir/R5.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_URN = r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def _printable(text: str) -> str:
    """Replace characters that a FHIR string may not hold."""
    return _CONTROL.sub(" ", text)


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_printable)]
Uri = Annotated[str, Field(pattern=r"^(https?://|urn:)[^\s]+$")]
Urn = Annotated[str, Field(pattern=_URN)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9\-.]{1,64}$")]
Code = Annotated[str, Field(pattern=r"^[^\s]+( [^\s]+)*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Element(BaseModel):
    """An immutable part of a resource, in camel case as JSON."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=AliasGenerator(serialization_alias=to_camel),
    )


class Coding(Element):
    """A code, with the system that it belongs to and its meaning there."""

    system: Uri
    code: Code
    display: Text


class CodeableConcept(Element):
    """A concept by its codes, by text, or by both."""

    coding: tuple[Coding, ...] | None = None
    text: Text


class Identifier(Element):
    """A business identifier."""

    type: CodeableConcept | None = None
    system: Uri | None = None
    value: Text
    assigner: "Reference | None" = None


class Reference(Element):
    """A reference to an entry of the Bundle, or to what an identifier or a name tells."""

    reference: Urn | None = None
    type: Literal["Device", "ImagingStudy", "Observation", "Patient"] | None = None
    identifier: Identifier | None = None
    display: Text | None = None


class Quantity(Element):
    """A number with its unit in UCUM."""

    value: Number
    unit: Text
    system: Literal["http://unitsofmeasure.org"] = "http://unitsofmeasure.org"
    code: Code


class Range(Element):
    """Two numbers, both included."""

    low: Quantity
    high: Quantity


class Annotation(Element):
    """A remark."""

    text: Text


class Component(Element):
    """A part of an observation."""

    code: CodeableConcept
    value_quantity: Quantity | None = None
    value_range: Range | None = None
    value_string: Text | None = None


class DeviceName(Element):
    """A name of a device; `name` in R4B, `value` in R5."""

    name: Text | None = None
    value: Text | None = None
    type: Literal["model-name", "registered-name", "user-friendly-name"]


class DeviceVersion(Element):
    """A version of a device."""

    value: Text


class Resource(Element):
    """A resource of a Bundle, or the Bundle."""

    resource_type: str
    id: Id


class Device(Resource):
    """The version of the model that answered."""

    resource_type: Literal["Device"] = "Device"
    identifier: tuple[Identifier, ...]
    status: Literal["active"] = "active"
    device_name: tuple[DeviceName, ...] | None = None  # R4B
    name: tuple[DeviceName, ...] | None = None  # R5
    version: tuple[DeviceVersion, ...]


class Observation(Resource):
    """One statement of the model about the radiograph."""

    resource_type: Literal["Observation"] = "Observation"
    status: Literal["preliminary"] = "preliminary"
    category: tuple[CodeableConcept, ...]
    code: CodeableConcept
    subject: Reference | None = None
    effective_date_time: date | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: CodeableConcept | None = None
    interpretation: tuple[CodeableConcept, ...] | None = None
    note: tuple[Annotation, ...] | None = None
    method: CodeableConcept | None = None
    device: Reference
    derived_from: tuple[Reference, ...] | None = None
    component: tuple[Component, ...] | None = None


class DiagnosticReport(Resource):
    """All statements of one answer."""

    resource_type: Literal["DiagnosticReport"] = "DiagnosticReport"
    status: Literal["preliminary"] = "preliminary"
    category: tuple[CodeableConcept, ...]
    code: CodeableConcept
    subject: Reference | None = None
    effective_date_time: date | None = None
    issued: datetime
    result: tuple[Reference, ...] | None = None
    imaging_study: tuple[Reference, ...] | None = None  # R4B
    study: tuple[Reference, ...] | None = None  # R5
    conclusion: Text


class Entry(Element):
    """A resource under the address by which others refer to it."""

    full_url: Urn
    resource: Device | Observation | DiagnosticReport


class Bundle(Resource):
    """Resources that belong together.

    Raises:
        ValueError: two entries have one address, or a reference leads nowhere.
    """

    resource_type: Literal["Bundle"] = "Bundle"
    identifier: Identifier
    type: Literal["collection"] = "collection"
    timestamp: datetime
    entry: tuple[Entry, ...]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        kinds = {entry.full_url: entry.resource.resource_type for entry in self.entry}
        if len(kinds) != len(self.entry):
            raise ValueError("two entries have the same address")
        for reference in _references(self):
            if reference.reference is None:
                if reference.identifier is None and reference.display is None:
                    raise ValueError("a reference says nothing")
            elif kinds.get(reference.reference) != reference.type:
                raise ValueError("a reference leads to no entry of its type")
        return self

    def json_bytes(self) -> bytes:
        """Return the Bundle as UTF-8 JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def _references(value: Any) -> Iterator[Reference]:
    """Yield every reference within an element."""
    if isinstance(value, Reference):
        yield value
    if isinstance(value, Element):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _references(item)
