"""Schemas of problem details (RFC 9457)."""

from pydantic import Field

from radiograph.strict_model import StrictModel


class FieldFault(StrictModel):
    """One invalid parameter."""

    where: str
    message: str


class Problem(StrictModel):
    """RFC 9457 problem details."""

    type: str = Field(
        description="Stable; clients may branch on it.", examples=["urn:g2d:problem:not-ready"]
    )
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldFault] | None = None
