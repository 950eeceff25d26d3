"""
The operator's listener: whether the daemon makes progress, whether every keyset is well, and the metrics. No key data.
"""

import json
from http import HTTPStatus
from typing import Protocol

from rotator.daemon.health import Health, Readiness
from rotator.daemon.http_message import NOT_ALLOWED, Request, Response, plain
from rotator.telemetry.redaction import redact


class Exposition(Protocol):
    """
    Source of the metrics.
    """

    content_type: str

    def render(self) -> bytes:
        """
        Return the text that answers a scrape.
        """
        ...


def render_health(*, alive: bool) -> Response:
    """
    Return 200 while the daemon makes progress, 503 when it has stalled.
    """
    return plain(HTTPStatus.OK, "ok") if alive else plain(HTTPStatus.SERVICE_UNAVAILABLE, "stalled")


def render_readiness(readiness: Readiness) -> Response:
    """
    Return *readiness* as JSON, 200 or 503; the details of alarms are redacted.
    """
    alarms = [
        {"keyset": alarm.keyset, "reason": alarm.reason.value, "detail": redact(alarm.detail)}
        for alarm in readiness.alarms
    ]
    told = {"ready": readiness.ready, "alarms": alarms, "keysets": dict(readiness.keysets)}
    if readiness.redis_fault is not None:
        told["redis"] = redact(readiness.redis_fault) or "ok"
    body = json.dumps(told)
    status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _uncached(status, "application/json", body.encode())


def _uncached(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    return Response(status, {"Content-Type": content_type, "Cache-Control": "no-store"}, body)


class AdminPages:
    """
    What the listener answers.
    """

    def __init__(self, health: Health, metrics: Exposition) -> None:
        self._health = health
        self._metrics = metrics

    def respond(self, request: Request) -> Response:
        """
        Return the answer to a GET.
        """
        if request.method == "OPTIONS":
            return NOT_ALLOWED
        match request.path:
            case "/healthz":
                return render_health(alive=self._health.alive())
            case "/readyz":
                return render_readiness(self._health.readiness())
            case "/metrics":
                return _uncached(HTTPStatus.OK, self._metrics.content_type, self._metrics.render())
        return plain(HTTPStatus.NOT_FOUND)
