"""Schemas of problem details (RFC 9457)."""

from pydantic import Field

from service.api.schemas.base import Schema


class FieldFault(Schema):
    """One invalid parameter."""

    where: str
    message: str


class Problem(Schema):
    """RFC 9457 problem details."""

    type: str = Field(
        description="Stable; clients may branch on it.", examples=["urn:g2d:problem:not-ready"]
    )
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldFault] | None = None
