"""Settings that bound what one client may ask for."""

from typing import ClassVar

from pydantic import Field

from service.settings.group import Group


class ClientSettings(Group):
    """Limits of one client: of all credentials of one owner, or of one address without them."""

    PREFIX: ClassVar[str] = "client_"

    rate: float = Field(default=0.0, ge=0)
    """Requests for each second that one client may send on average; 0 means any number."""
    burst: int = Field(default=20, ge=1)
    """Requests that one client may send at once before `client_rate` slows it down."""
    in_flight: int = Field(default=0, ge=0)
    """Requests of one client that may be in progress at the same time; 0 means any number."""
