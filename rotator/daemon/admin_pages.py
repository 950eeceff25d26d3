"""
The operator's listener: whether the daemon lives, whether all is well, and the metrics. It holds no key data.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from rotator.daemon.health import Health, Readiness
from rotator.daemon.http_handler import Response, plain
from rotator.daemon.http_server import HttpServer
from rotator.telemetry.redaction import redact


class Exposition(Protocol):
    """
    The metrics, ready to be scraped.
    """

    content_type: str

    def render(self) -> bytes:
        """
        Return the text a scrape gets.
        """
        ...


class AdminPages:
    """
    What the listener answers.
    """

    def __init__(self, health: Health, metrics: Exposition) -> None:
        self._health = health
        self._metrics = metrics

    def respond(self, path: str, headers: Mapping[str, str]) -> Response:  # noqa: ARG002 - every listener's signature
        """
        Return the answer to a GET of *path*.
        """
        match path:
            case "/healthz":
                alive = self._health.alive()
                return plain(HTTPStatus.OK, "ok") if alive else plain(HTTPStatus.SERVICE_UNAVAILABLE, "stalled")
            case "/readyz":
                return _ready(self._health.readiness())
            case "/metrics":
                return _uncached(HTTPStatus.OK, self._metrics.content_type, self._metrics.render())
        return plain(HTTPStatus.NOT_FOUND)


def _ready(readiness: Readiness) -> Response:
    alarms = [
        {"keyset": alarm.keyset, "reason": alarm.reason.value, "detail": redact(alarm.detail)}
        for alarm in readiness.alarms
    ]
    body = json.dumps({"ready": readiness.ready, "alarms": alarms, "keysets": dict(readiness.keysets)})
    status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _uncached(status, "application/json", body.encode())


def _uncached(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    return Response(status, {"Content-Type": content_type, "Cache-Control": "no-store"}, body)


class AdminServer(HttpServer):
    """
    The listener named by `[admin] http`.
    """

    def __init__(self, address: str, health: Health, metrics: Exposition) -> None:
        super().__init__(address, AdminPages(health, metrics).respond, "[admin] http")
