"""Configuration of the gateway: one TOML file, validated before anything starts.

    folder = "/srv/g2d/gateway"         spool and journal
    ae_title = "G2D"
    [listen]                            DICOM: host, port, callers, TLS
    [web]                               HTTP: STOW-RS, health, metrics
    [service]                           the running service
    [[rules]]                           instances that are taken, and the peers of their results
    [[peers]]                           destinations: protocol = "dimse" or "stow"
    [[worklists]]                       UPS-RS worklists whose workitems are performed

Secrets are files that the configuration names, never values in it.
"""

from service.gateway.configuration.configuration import Configuration, read_configuration
from service.gateway.configuration.peers import DimsePeer, Peer, Retry, StowPeer
from service.gateway.configuration.rules import RADIOGRAPH_CLASSES, Rule
from service.gateway.configuration.servers import Listen, Web
from service.gateway.configuration.service import Service
from service.gateway.configuration.tls import ClientTls, ServerTls
from service.gateway.configuration.values import MIB, read_secret
from service.gateway.configuration.worklists import Code, Worklist

__all__ = [
    "MIB",
    "RADIOGRAPH_CLASSES",
    "ClientTls",
    "Code",
    "Configuration",
    "DimsePeer",
    "Listen",
    "Peer",
    "Retry",
    "Rule",
    "ServerTls",
    "Service",
    "StowPeer",
    "Web",
    "Worklist",
    "read_configuration",
    "read_secret",
]
