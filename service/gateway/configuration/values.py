"""Values that several parts of the configuration have, and the secrets that they name."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from service.gateway.errors import InvalidConfiguration

MIB = 1024 * 1024

AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
ObjectKind = Literal["seg", "sr", "gsps", "sc", "heatmap"]


def invalid(message: str) -> PydanticCustomError:
    """Return the error of a validator."""
    return PydanticCustomError("gateway", "{message}", {"message": message})


def read_secret(path: Path | None) -> str | None:
    """Return the secret in a file, without the line end, or None if no file is named.

    Raises:
        InvalidConfiguration: the file cannot be read, or has no secret.
    """
    if path is None:
        return None
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{path} cannot be read as a secret") from error
    if not secret or not secret.isprintable() or " " in secret:
        raise InvalidConfiguration(f"{path} holds no secret")
    return secret
