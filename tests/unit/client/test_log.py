"""
What the client logs.
"""

import logging

import pytest

from rotator.client.log import StdlibLog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
}


@pytest.mark.parametrize("method", LEVELS)
def test_an_event_is_one_line_of_its_level(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the name of the event, then its fields, from the logger `rotator.client`."""
    caplog.set_level(logging.DEBUG, "rotator.client")
    getattr(StdlibLog(), method)("keys_read_again", place="here")

    assert caplog.record_tuples == [("rotator.client", LEVELS[method], "keys_read_again {'place': 'here'}")]


def test_an_exception_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    """Its text and its traceback could hold a secret."""
    try:
        int("CANARY")
    except ValueError:
        StdlibLog().exception("login_failed")

    assert "CANARY" not in caplog.text
    assert caplog.records[0].exc_info is None
