"""Connection of the settings with the client, which needs the extra `gateway`."""

from typing import TYPE_CHECKING

from service.errors import InvalidSettings
from service.settings import Settings

if TYPE_CHECKING:
    from service.dicomweb.archives import Archives


def open_archives(settings: Settings, own: str) -> "Archives | None":
    """Return a client of the configured DICOMweb servers, or None if there are none.

    Args:
        settings: settings of the service.
        own: Manufacturer of results of this service.

    Raises:
        InvalidSettings: the file of the servers is not usable, or the extra is not installed.
    """
    if settings.dicomweb.file is None:
        return None
    try:
        from service.dicomweb.archives import Archives
    except ImportError as error:
        raise InvalidSettings(
            f"G2D_DICOMWEB_FILE needs the extra `gateway` ({error.name} is not installed)"
        ) from None
    from service.dicomweb.servers import Servers

    return Archives(
        Servers.read(settings.dicomweb.file),
        settings.dicomweb.timeout_s,
        settings.limits.max_body_bytes,
        settings.jobs.max_items,
        own,
    )
