"""
The daemon's two kinds of listeners, each over its pages, without a daemon.
"""

from collections.abc import Collection

from rotator.adapters.jwks.cache import JwksCache
from rotator.daemon.admin_pages import AdminPages, Exposition
from rotator.daemon.health import Health
from rotator.daemon.http_server import HttpServer
from rotator.daemon.jwks_pages import JwksPages


class JwksServer(HttpServer):
    """
    A listener as `[publish] http` names one.
    """

    def __init__(self, address: str, cache: JwksCache, names: Collection[str]) -> None:
        super().__init__(address, JwksPages(cache, names).respond, "[publish] http")


class AdminServer(HttpServer):
    """
    A listener as `[admin] http` names one.
    """

    def __init__(self, address: str, health: Health, metrics: Exposition) -> None:
        super().__init__(address, AdminPages(health, metrics).respond, "[admin] http")
