"""Settings of the service, read once from `G2D_*` environment variables.

    G2D_PORT=9000 G2D_PROVIDER=cuda g2d serve

A variable is named `G2D_`, the prefix of its group, and the field in upper case: `jobs.dir` is
`G2D_JOBS_DIR`. An unknown `G2D_` variable is logged, so that a misspelt one does not go unnoticed.

Each file has the groups of one concern; `settings.py` puts them together.
"""

from service.settings.access.audit import AuditSettings
from service.settings.access.clients import ClientSettings
from service.settings.access.oidc import OidcSettings
from service.settings.access.security import SecuritySettings
from service.settings.access.web import TlsSettings, WebSettings
from service.settings.compute import BatchingSettings, DecodingSettings, Provider, RuntimeSettings
from service.settings.dicom.dicomweb import DicomwebSettings
from service.settings.dicom.gateway import GatewaySettings
from service.settings.dicom.results import DicomResultSettings
from service.settings.group import MIB
from service.settings.jobs import JobSettings
from service.settings.limits import MIN_OVERLAY_SIDE_PX, LimitSettings
from service.settings.models import ModelSettings
from service.settings.server import ServerSettings
from service.settings.settings import OPTIONS, PREFIX, Settings
from service.settings.triton import TritonSettings

__all__ = [
    "MIB",
    "MIN_OVERLAY_SIDE_PX",
    "OPTIONS",
    "PREFIX",
    "AuditSettings",
    "BatchingSettings",
    "ClientSettings",
    "DecodingSettings",
    "DicomResultSettings",
    "DicomwebSettings",
    "GatewaySettings",
    "JobSettings",
    "LimitSettings",
    "ModelSettings",
    "OidcSettings",
    "Provider",
    "RuntimeSettings",
    "SecuritySettings",
    "ServerSettings",
    "Settings",
    "TlsSettings",
    "TritonSettings",
    "WebSettings",
]
