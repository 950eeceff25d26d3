"""
The example service as its users meet it: two instances behind keysets that rotate, in a real browser and without one.
"""

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright
from redis import Redis

from tests.conftest import need
from tests.support.servers import redis
from tests.support.servers.process import free_port
from tests.support.site import Site, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(180)]
PROGRAM = Path(__file__).parents[2] / "examples" / "web" / "run.py"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ACCESS, REFRESH = "__Host-access", "__Secure-refresh"
PATHS = {ACCESS: "/", REFRESH: "/session"}
GRACE = 10.0
A_REFRESH, A_ROTATION = 12_000, 40_000  # milliseconds that are more than enough for one


@dataclass(frozen=True)
class Answer:
    """What came back: `cookies` are those that were set."""

    status: int
    cookies: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Instance:
    """One instance of the service, and a plain HTTP client for it."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, cookies: dict[str, str] | None = None) -> Answer:
        """GET *path*."""
        return self._ask("GET", path, cookies or {}, {})

    def post(self, path: str, cookies: dict[str, str] | None = None, body: str = "", **headers: str) -> Answer:
        """POST to *path*, as a page of this instance would unless *headers* say otherwise."""
        return self._ask("POST", path, cookies or {}, headers or {"Origin": self.url}, body)

    def login(self, password: str = "") -> Answer:
        """Log alice in."""
        return self.post("/login", body=f"user=alice&password={password or self.password}")

    def _ask(self, method: str, path: str, cookies: dict[str, str], headers: dict[str, str], body: str = "") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
            connection.request(method, path, body, {"Cookie": cookie, **headers})
            reply = connection.getresponse()
            text = reply.read()
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
            found = SimpleCookie("; ".join(line.split(";")[0] for line in reply.headers.get_all("Set-Cookie", [])))
            content = json.loads(text) if reply.headers["Content-Type"] == "application/json" else None
            return Answer(reply.status, {name: morsel.value for name, morsel in found.items()}, content)
        finally:
            connection.close()


@dataclass(frozen=True)
class Example:
    """The example at work."""

    instances: tuple[Instance, Instance]
    folder: Path

    def pause_redis(self, seconds: float) -> None:
        """Stop Redis from answering for so many *seconds*."""
        (config,) = self.folder.glob("*/config.toml")
        with Redis.from_url(tomllib.loads(config.read_text())["redis"]["url"]) as client:
            client.client_pause(int(seconds * 1000))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """What `make example` runs; it must end by SIGTERM with exit code 0 and leave nothing behind."""
    need(redis.find_redis(), redis.MISSING[""])
    folder, log = tmp_path_factory.mktemp("example"), tmp_path_factory.mktemp("log") / "log"
    ports = free_port(), free_port()
    command = [sys.executable, str(PROGRAM), "--seconds", "600", "--ports", *map(str, ports)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=Site.environ(TMPDIR=str(folder)))
    try:
        said = wait_for(
            lambda: re.search("as alice, with the password ([^;]+);", log.read_text()) or process.poll(),
            40,
            log.read_text,
        )
        assert isinstance(said, re.Match), log.read_text()
        yield Example((Instance(ports[0], said[1]), Instance(ports[1], said[1])), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    assert ", 0 failed" in log.read_text().splitlines()[-1], log.read_text()
    assert list(folder.iterdir()) == []
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            Instance(port, "").get("/healthz")


@dataclass
class Watch:
    """Everything that went wrong on a page: answers of 400 and above, failed requests, and errors on its console."""

    refusals: list[tuple[str, str, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Note all of *page* from now on."""
        page.on("response", self._answered)
        page.on(
            "requestfailed", lambda request: self.errors.append(f"{request.method} {request.url} {request.failure}")
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            path = "/" + response.url.split("/", 3)[3]
            self.refusals.append((response.request.method, path, response.status))

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium's line for an answer of 400 and above, which _answered has.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)


@pytest.fixture
def context() -> Iterator[BrowserContext]:
    """A Chromium without any cookies."""
    need(CHROMIUM, "no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        try:
            yield browser.new_context()
        finally:
            browser.close()


def held(context: BrowserContext, page: Page) -> dict[str, str]:
    """Return the tokens that the browser keeps, after making sure that it keeps them well, and away from the page."""
    found = {cookie["name"]: cookie for cookie in context.cookies()}
    kept = {
        name: (cookie["path"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"])
        for name, cookie in found.items()
    }
    assert kept == {name: (path, True, True, "Strict") for name, path in PATHS.items()}
    assert page.evaluate("document.cookie") == ""
    return {name: cookie["value"] for name, cookie in found.items()}


def log_in(page: Page, password: str) -> None:
    """Fill in the form and send it."""
    page.get_by_label("User").fill("alice")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_in_a_browser_a_session_goes_on_through_rotations_and_instances_until_logout(
    example: Example, context: BrowserContext
) -> None:
    first, second = instances = example.instances
    watch, page = Watch(), context.new_page()
    watch.follow(page)
    kid, jti, account = page.locator("#kid"), page.locator("#jti"), page.locator("#account")

    page.goto(first.url)
    expect(page.locator("#login")).to_be_visible()
    anonymous = [("GET", "/api/me", 401), ("POST", "/session/refresh", 401)]
    assert watch.refusals == anonymous
    log_in(page, "wrong")
    expect(page.get_by_text("Wrong user or password.")).to_be_visible()
    assert context.cookies() == []
    assert watch.refusals == [*anonymous, ("POST", "/login", 401)]
    watch.refusals.clear()

    log_in(page, first.password)
    expect(page.locator("#user")).to_have_text("alice")
    expect(page.locator("#instance")).to_have_text(f"127.0.0.1:{first.port}")
    at_login, first_kid, first_jti = held(context, page), kid.inner_text(), jti.inner_text()
    assert second.get("/api/me", at_login).body["kid"] == first_kid
    expect(jti).not_to_have_text(first_jti, timeout=A_REFRESH)
    refreshed = held(context, page)
    assert all(refreshed[name] != at_login[name] for name in PATHS)
    expect(kid).not_to_have_text(first_kid, timeout=A_ROTATION)
    expect(account).to_be_visible()

    at_first = jti.inner_text()
    page.goto(second.url)
    expect(page.locator("#instance")).to_have_text(f"127.0.0.1:{second.port}")
    expect(page.locator("#user")).to_have_text("alice")
    expect(jti).to_have_text(at_first)
    expect(jti).not_to_have_text(at_first, timeout=A_REFRESH)

    foreign_page_cannot_log_out(context, second)
    assert watch.refusals == []
    last = held(context, page)
    assert second.get("/api/me", last).body["user"] == "alice"
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Logged out.")).to_be_visible()
    expect(account).to_be_hidden()
    assert context.cookies() == []
    assert [instance.get("/api/me", last).status for instance in instances] == [401, 401]
    assert first.post("/session/refresh", last).status == 401
    assert (watch.refusals, watch.errors) == ([], [])


def foreign_page_cannot_log_out(context: BrowserContext, instance: Instance) -> None:
    """Have a page of another site send the form that would end the session."""
    page = context.new_page()
    form = f'<form method="post" action="{instance.url}/session/logout"><button>Win a prize</button></form>'
    page.route("http://other.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://other.example/")
    with page.expect_response(f"{instance.url}/session/logout") as sent:
        page.get_by_role("button").click()
    assert sent.value.status == 403
    page.close()


def test_refresh_token_shown_again_ends_its_session_once_the_grace_is_over(example: Example) -> None:
    first, second = instances = example.instances
    at_login = first.login().cookies
    successor = second.post("/session/refresh", at_login)
    began = time.monotonic()
    assert successor.status == 204
    # Within the grace the answer may have been lost: the same successor comes again, from whichever instance.
    again = first.post("/session/refresh", at_login).cookies
    one, other = second.get("/api/me", successor.cookies).body, first.get("/api/me", again).body
    assert one["jti"] == other["jti"]

    stolen = first.login().cookies
    latest = second.post("/session/refresh", first.post("/session/refresh", stolen).cookies).cookies
    assert second.post("/session/refresh", stolen).status == 401  # no immediate predecessor: no grace
    assert [i.post("/session/refresh", latest).status for i in instances] == [401, 401]

    time.sleep(max(0.0, began + GRACE + 0.5 - time.monotonic()))
    replayed = first.post("/session/refresh", at_login)
    assert replayed.status == 401
    assert replayed.cookies == {ACCESS: "", REFRESH: ""}
    assert [i.post("/session/refresh", successor.cookies).status for i in instances] == [401, 401]


def test_posts_that_no_page_of_ours_sent_change_nothing(example: Example) -> None:
    first, second = example.instances
    session = first.login().cookies
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": second.url},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": first.url},
        {"X-Neither": "Origin nor Sec-Fetch-Site"},
    ):
        for path in ("/login", "/session/refresh", "/session/logout"):
            answer = first.post(path, session, f"user=alice&password={first.password}", **headers)
            assert (answer.status, answer.cookies) == (403, {}), (path, headers)
    assert first.get("/api/me", session).body["user"] == "alice"


def test_no_one_gets_in_without_the_right_token_or_password(example: Example) -> None:
    first, _ = example.instances
    session = first.login().cookies
    swapped = {ACCESS: session[REFRESH], REFRESH: session[ACCESS]}
    assert first.get("/api/me").status == first.get("/api/me", swapped).status == 401
    assert first.post("/session/refresh").status == first.post("/session/refresh", swapped).status == 401
    assert first.login("wrong").status == first.post("/login", body="user=bob&password=x").status == 401
    assert first.post("/login", body="x" * 5000).status == 413
    assert first.post("/login", body="a=1&" * 50).status == 400
    assert first.get("/healthz").body == {"status": "ok"}


def test_a_silent_redis_costs_no_session(example: Example) -> None:
    first, _ = example.instances
    session = first.login().cookies
    example.pause_redis(3)
    answer = first.post("/session/refresh", session)
    assert (answer.status, answer.cookies) == (503, {})
    assert first.get("/api/me", session).status == 200
    assert first.login().status == 503
    wait_for(lambda: first.post("/session/refresh", session).status == 204, 20)
