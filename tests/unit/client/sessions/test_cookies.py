"""
Cookies that carry a session.
"""

from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from flask import Response as FlaskResponse
from starlette.responses import Response as StarletteResponse

from rotator.client import ConfigError, Cookies, SigningError, TokenPair

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAIR = TokenPair("aaa.bbb.ccc", "ddd.eee.fff", NOW + timedelta(minutes=15), NOW + timedelta(days=7), "alice", "session")


def test_attributes() -> None:
    """HttpOnly, Secure, SameSite=Strict, a path and a life: that of the token."""
    access, refresh = Cookies(refresh_path="/session").of(PAIR, NOW)

    assert access.header == "access_token=aaa.bbb.ccc; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Strict"
    assert (
        refresh.header == "refresh_token=ddd.eee.fff; Path=/session; Max-Age=604800; Secure; HttpOnly; SameSite=Strict"
    )
    assert "aaa" not in repr(access)


def test_cleared() -> None:
    """A logout empties both, at the paths they were set for."""
    access, refresh = Cookies(refresh_path="/session").cleared()

    assert (access.value, access.max_age, access.path) == ("", 0, "/")
    assert (refresh.value, refresh.max_age, refresh.path) == ("", 0, "/session")


@pytest.mark.parametrize("framework", ["starlette", "flask", "django"])
def test_frameworks_take_the_arguments(framework: str) -> None:
    """What each framework makes of the arguments has the attributes of our own header."""
    cookie = Cookies(domain="example.org").of(PAIR, NOW)[0]
    if framework == "django":
        if not settings.configured:
            settings.configure()
        django = HttpResponse()
        django.set_cookie(**cookie.arguments)
        header = django.cookies[cookie.name].OutputString()
    else:
        response: Any = StarletteResponse() if framework == "starlette" else FlaskResponse()
        response.set_cookie(**cookie.arguments)
        header = response.headers["set-cookie"]

    theirs, ours = (SimpleCookie(text)[cookie.name] for text in (header, cookie.header))
    assert theirs.value == ours.value
    for attribute in ("path", "domain", "secure", "httponly", "max-age"):
        assert str(theirs[attribute]) == str(ours[attribute]), attribute
    assert theirs["samesite"].lower() == ours["samesite"].lower()


def test_what_a_browser_would_drop_is_refused() -> None:
    """A cookie above 4096 bytes is an error where it is made, not a session that is silently lost."""
    large = TokenPair("a" * 4090, "b", NOW, NOW, "alice", "session")
    with pytest.raises(SigningError, match="access_token"):
        Cookies().of(large, NOW)


def test_settings_that_cannot_work_are_refused() -> None:
    """A __Host- name without what it promises, equal names, and SameSite=None."""
    Cookies(access_name="__Host-access")
    for options in (
        {"access_name": "__Host-access", "secure": False},
        {"refresh_name": "__Host-refresh", "refresh_path": "/session"},
        {"access_name": "same", "refresh_name": "same"},
        {"samesite": "None"},
    ):
        with pytest.raises(ConfigError):
            Cookies(**options)  # type: ignore[arg-type]
