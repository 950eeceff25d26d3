"""
The operator's listener's answers, as values; over a socket once.
"""

import json
from dataclasses import dataclass

import pytest

from rotator.daemon.admin_pages import AdminPages, render_health, render_readiness
from rotator.daemon.health import Readiness
from rotator.daemon.http_message import Request
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarm
from tests.support.http_caller import ask, running
from tests.support.listeners import AdminServer

LATE = Alarm("web", AlarmReason.OVERDUE, 'because of "' + "ab" * 32 + '"')


@dataclass
class FakeHealth:
    """What a daemon knows of itself."""

    lives: bool = True

    def alive(self) -> bool:
        """Whether it makes progress."""
        return self.lives

    def readiness(self) -> Readiness:
        """Return how it fares."""
        return Readiness(True, {"web": "ok"})


class FakeMetrics:
    """Metrics of one line."""

    content_type = "text/plain; version=0"

    def render(self) -> bytes:
        """Return it."""
        return b"up 1\n"


@pytest.fixture
def pages() -> AdminPages:
    """
    What the listener of a daemon that fares well answers.
    """
    return AdminPages(FakeHealth(), FakeMetrics())  # type: ignore[arg-type]


def test_health_is_progress() -> None:
    """200 or 503, for a supervisor that restarts what has stalled; never cached."""
    good, bad = render_health(alive=True), render_health(alive=False)
    assert (good.status, good.body) == (200, b"ok\n")
    assert (bad.status, bad.body) == (503, b"stalled\n")
    assert {good.headers["Cache-Control"], bad.headers["Cache-Control"]} == {"no-store"}


def test_readiness_is_the_same_json_good_or_bad() -> None:
    """What an alarm says is redacted like a log line."""
    good, bad = (
        render_readiness(Readiness(True, {"web": "ok"})),
        render_readiness(Readiness(False, {"web": "stalled"}, (LATE,))),
    )
    assert (good.status, bad.status) == (200, 503)
    assert json.loads(good.body) == {"ready": True, "alarms": [], "keysets": {"web": "ok"}}
    assert json.loads(bad.body) == {
        "ready": False,
        "alarms": [{"keyset": "web", "reason": "rotation overdue", "detail": 'because of "[redacted]"'}],
        "keysets": {"web": "stalled"},
    }
    assert (good.headers["Content-Type"], good.headers["Cache-Control"]) == ("application/json", "no-store")


def test_readiness_says_what_ails_redis() -> None:
    """Where one is configured; it makes no difference to the rest."""
    down, up = (render_readiness(Readiness(True, {}, (), fault)) for fault in ("redis at r:1: connection refused", ""))
    assert json.loads(down.body)["redis"] == "redis at r:1: connection refused"
    assert json.loads(up.body)["redis"] == "ok"
    assert (down.status, up.status) == (200, 200)


def test_each_path_has_its_page(pages: AdminPages) -> None:
    """Health, readiness and metrics."""
    assert pages.respond(Request("GET", "/healthz", {})).body == b"ok\n"
    assert json.loads(pages.respond(Request("GET", "/readyz", {})).body)["ready"] is True
    metrics = pages.respond(Request("GET", "/metrics", {}))
    assert (metrics.body, metrics.headers["Content-Type"]) == (b"up 1\n", FakeMetrics.content_type)


@pytest.mark.parametrize("path", ["/", "/keysets/web/jwks.json", "/.well-known/jwks.json", "/debug", "/metrics/"])
def test_nothing_else_is_served(pages: AdminPages, path: str) -> None:
    """No key data above all."""
    assert pages.respond(Request("GET", path, {})).status == 404


def test_the_listener_serves_the_pages() -> None:
    """Each request asks the daemon as it is then."""
    health = FakeHealth()
    with running(server := AdminServer("127.0.0.1:0", health, FakeMetrics())):  # type: ignore[arg-type]
        assert ask(server, "/healthz").status == 200
        health.lives = False
        assert ask(server, "/healthz").status == 503
        assert ask(server, "/healthz", "OPTIONS").status == 405
