"""
Reloads of a daemon on a file store: what is put in force, what is refused, and what goes on as before.
"""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.daemon import main
from rotator.daemon.instance import read_answer
from rotator.daemon.listeners import ADMIN, JWKS
from rotator.daemon.main import Daemon
from rotator.daemon.signals import Signals
from rotator.model.document import Stored, Tree
from rotator.model.reasons import AlarmReason
from tests.support.http_caller import Reply, ask
from tests.support.process import RecordingLog

WEB = "[keysets.web]\n"
INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
TEXT = f"""
[store]
backend = "file"
path = "store"
[publish]
file = "public/jwks.json"
http = "127.0.0.1:0"
[admin]
http = "127.0.0.1:0"
[daemon]
state_dir = "state"
[log]
format = "json"
{INTERNAL}"""


class Running:
    """A daemon that is served in a thread, and its configuration file."""

    def __init__(self, folder: Path) -> None:
        self.file, self.log, self.signals = folder / "config.toml", RecordingLog(), Signals()
        self.file.write_text(TEXT)
        self.daemon = Daemon(self.read(), self.log, self.signals)
        self.daemon.start()
        self._serving = threading.Thread(target=self.daemon.serve, args=(self.read,))
        self._serving.start()

    def read(self) -> Settings:
        """Read the file."""
        return load(self.file, environ={}, command_line=False)

    def close(self) -> None:
        """End it."""
        self.signals.stop()
        self._serving.join(30)
        assert not self._serving.is_alive()
        self.daemon.close()

    def reload(self, text: str) -> tuple[str, ...]:
        """Put *text* in place of the file, ask for a reload, and return its faults once it has ended."""
        self.file.write_text(text)
        asked_at = time.monotonic()
        self.signals.reload()
        self.until(lambda: (answer := self.answer()) is not None and answer.read_at >= asked_at)
        answer = self.answer()
        assert answer is not None
        return answer.faults

    def answer(self) -> Any:
        """The last answer."""
        return read_answer(self.file.parent / "state")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, twenty seconds at most."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.log.events[-5:]
            time.sleep(0.01)

    def well(self) -> bool:
        """Whether every keyset is."""
        return self.daemon.health.readiness().ready

    def get(self, option: str, path: str) -> Reply:
        """Ask a listener."""
        return ask(self.daemon.listeners.open[option].listener, path)

    def reasons(self) -> set[tuple[str, AlarmReason]]:
        """Keysets and reasons of the active alarms."""
        return {(alarm.keyset, alarm.reason) for alarm in self.daemon.health.active()}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A daemon of one keyset, which is well."""
    made = Running(tmp_path)
    made.until(made.well)
    yield made
    made.close()


# -- in force ----------------------------------------------------------------------------------------------------------


def test_a_keyset_that_was_added_is_made_at_once(running: Running) -> None:
    """The others are not looked at as new ones: their states go on."""
    before = running.daemon.health.readiness()
    assert running.reload(TEXT + WEB) == ()
    running.until(lambda: running.get(JWKS, "/keysets/web/jwks.json").status == HTTPStatus.OK)

    assert "configuration_changed" in running.log.names()
    assert running.log.names().count("started") == 1
    assert running.log.names().count("keyset_created") == 2
    assert before.keysets == {"internal": "ok"}
    running.until(running.well)


def test_an_unchanged_configuration_is_told_as_one(running: Running) -> None:
    """The files that it names are read again all the same."""
    assert running.reload(TEXT) == ()

    assert "configuration_unchanged" in running.log.names()
    assert "configuration_changed" not in running.log.names()


def test_a_keyset_that_was_removed_is_served_and_alarmed_until_it_is_put_back(running: Running) -> None:
    """Tokens that its keys signed are out."""
    running.reload(TEXT + WEB)
    running.until(lambda: running.get(JWKS, "/keysets/web/jwks.json").status == HTTPStatus.OK)
    running.reload(TEXT)
    assert running.get(JWKS, "/keysets/web/jwks.json").status == HTTPStatus.OK
    running.until(lambda: running.reasons() == {("web", AlarmReason.NOT_CONFIGURED)})
    assert running.get(JWKS, "/keysets/web/jwks.json").status == HTTPStatus.OK

    running.reload(TEXT + WEB)
    running.until(lambda: running.reasons() == set())


def test_what_is_known_of_a_keyset_goes_on(running: Running) -> None:
    """Its state is there before the next pass, and an alarm neither ends nor begins anew."""
    running.daemon._setup.engine.alarms.raise_("internal", AlarmReason.PURGE_PENDING, "for some reason")
    (sample,) = running.daemon.health.keysets()
    running.log.events.clear()
    running.reload(TEXT)

    assert sample in running.daemon.health.keysets()
    assert running.reasons() <= {("internal", AlarmReason.PURGE_PENDING)}
    assert running.log.names().count("alarm") == 0


def test_another_level_of_the_log_is_in_force(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused one is not, for libraries neither."""
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    running.reload(TEXT.replace('format = "json"', 'format = "console"') + "nonsense = 1")
    running.reload(TEXT.replace('format = "json"', 'format = "console"').replace('"127.0.0.1:0"', '"192.0.2.1:1"', 1))
    logging.getLogger("some").error("library")
    assert '"event": "library"' in capsys.readouterr().out

    running.reload(TEXT.replace('format = "json"', 'format = "json"\nlevel = "debug"'))
    assert '"event": "configuration_changed"' in capsys.readouterr().out


def test_listeners_move(running: Running) -> None:
    """One is closed, one is opened again; the port of the other stays."""
    admin = running.daemon.listeners.address(ADMIN)
    quiet = TEXT.replace('http = "127.0.0.1:0"', 'http = ""', 1)
    assert running.reload(quiet) == ()
    assert running.daemon.listeners.address(JWKS) == ""
    assert running.reload(TEXT) == ()

    assert running.daemon.listeners.address(ADMIN) == admin
    assert running.get(JWKS, "/keysets/internal/jwks.json").status == HTTPStatus.NOT_FOUND
    assert running.get(JWKS, "/keysets/none/jwks.json").status == HTTPStatus.NOT_FOUND


# -- refused -----------------------------------------------------------------------------------------------------------

REDIS = '[redis]\nurl = "rediss://127.0.0.1:1/0"\n'


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text + "[[[", "is not valid TOML"),
        (lambda text: text + "nonsense = 1\n", "is an unknown option"),
        (lambda text: text.replace('"127.0.0.1:0"', '"TAKEN"', 1), "http: cannot listen on 127.0.0.1:"),
        (lambda text: text.replace('"127.0.0.1:0"', '"192.0.2.1:1"', 1), "http: cannot listen on 192.0.2.1:1 "),
        (lambda text: text.replace('"state"', '"elsewhere"'), "[daemon] state_dir: cannot change"),
        (lambda text: text + REDIS + 'password_file = "none"\n', "[redis] password_file: "),
        (lambda text: text + REDIS + 'ca_file = "none"\n', "[redis] ca_file: "),
        (
            lambda text: text.replace("[publish]", '[publish]\nca_file = "none"\nverify_urls = ["https://a/{keyset}"]'),
            "[publish] ca_file: ",
        ),
        (lambda text: text.replace('"file"', '"vault"', 1), "[vault] role_id_file: "),
        (
            lambda text: text.replace('"file"', '"vault"', 1) + '[vault]\nauth = "token"\ntoken_file = "none"\n',
            "[vault] token_file: ",
        ),
        (
            lambda text: text.replace('"file"', '"vault"', 1) + '[vault]\nca_file = "none"\n',
            "vault.ca_file: ",
        ),
        (lambda text: text.replace('path = "store"', 'path = "config.toml"'), "not a directory"),
    ],
)
def test_what_cannot_take_the_place_of_the_running_one_is_refused(
    running: Running, change: Callable[[str], str], fault: str
) -> None:
    """An alarm, the metric and `status` say so, until a good one is read; all the rest goes on."""
    addresses = [running.daemon.listeners.address(option) for option in (JWKS, ADMIN)]
    setup = running.daemon._setup
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = change(TEXT).replace("TAKEN", f"127.0.0.1:{taken.getsockname()[1]}")
        (found,) = running.reload(text)

    assert fault in found
    assert running.daemon._setup is setup
    assert [running.daemon.listeners.address(option) for option in (JWKS, ADMIN)] == addresses
    assert ("error", "configuration_refused", {"detail": found}) in running.log.events
    assert running.reasons() == {("", AlarmReason.CONFIG_REFUSED)}
    ready = running.get(ADMIN, "/readyz")
    assert ready.status == HTTPStatus.OK
    assert b'{"keyset": "", "reason": "configuration refused"' in ready.body
    metrics = running.get(ADMIN, "/metrics").body
    assert b"rotator_config_last_reload_successful 0.0" in metrics
    assert b'rotator_alarm{keyset="",reason="configuration refused"} 1.0' in metrics

    assert running.reload(TEXT) == ()
    assert running.reasons() == set()
    assert b"rotator_config_last_reload_successful 1.0" in running.get(ADMIN, "/metrics").body


def test_what_goes_wrong_unforeseen_is_refused_with_its_trace(running: Running) -> None:
    """It must not end the daemon."""

    def fail() -> Settings:
        raise RuntimeError("a fault of ours")

    running.read = fail  # type: ignore[method-assign]
    running.daemon._reload(fail)

    assert running.reasons() == {("", AlarmReason.CONFIG_REFUSED)}
    assert "reload_failed" in running.log.names()
    assert ("error", "configuration_refused", {"detail": "RuntimeError: a fault of ours"}) in running.log.events


def test_a_memory_that_cannot_be_listed_refuses_the_reload(running: Running, tmp_path: Path) -> None:
    """Which keysets are to be served besides those of the configuration is not known then; the running one knows."""
    keysets = tmp_path / "state" / "keysets"
    keysets.rename(tmp_path / "state" / "away")
    keysets.write_text("no folder")
    (fault,) = running.reload(TEXT)

    assert f"{keysets} cannot be read" in fault
    assert "reload_failed" not in running.log.names()
    keysets.unlink()
    (tmp_path / "state" / "away").rename(keysets)
    assert running.reload(TEXT) == ()


def test_a_former_setup_that_cannot_be_closed_is_logged(running: Running) -> None:
    """The new one is in force."""

    def fail() -> None:
        raise OSError("no space left")

    before = running.daemon._setup
    before.engine.store.close = fail  # type: ignore[method-assign]
    assert running.reload(TEXT) == ()

    assert running.daemon._setup is not before
    assert "not_closed" in running.log.names()


def test_an_outage_that_the_running_one_suffers_too_refuses_nothing(running: Running, tmp_path: Path) -> None:
    """The daemon lives with outages: it says so, and serves on."""
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("no folder")

    assert running.reload(TEXT) == ()
    assert "reloaded_without_store" in running.log.names()
    (tmp_path / "store").unlink()
    (tmp_path / "away").rename(tmp_path / "store")
    running.until(running.well)


# -- what is under way -------------------------------------------------------------------------------------------------


class Stuck:
    """Holds every reading of a store until it is let go; `entered` once one is held."""

    def __init__(self, store: Any) -> None:
        self.entered, self._gate, self._load = threading.Event(), threading.Event(), store.load
        store.load = self.load

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Wait, then load."""
        self.entered.set()
        self._gate.wait(30)
        stored: Stored = self._load(tree, keyset)
        return stored

    def let_go(self) -> None:
        """Hold no more."""
        self._gate.set()


def test_a_pass_under_way_ends_before_another_setup_begins(running: Running) -> None:
    """No keyset is reconciled by both."""
    setup = running.daemon._setup
    stuck = Stuck(setup.engine.store)
    setup.engine.queue.make_all_due()
    stuck.entered.wait(20)
    answered = running.answer()
    running.signals.reload()
    running.until(lambda: setup._paused)
    assert (running.daemon._setup, running.answer()) == (setup, answered)

    stuck.let_go()
    running.until(lambda: running.daemon._setup is not setup)
    assert setup.at_rest()


def test_a_pass_that_does_not_end_refuses_the_reload(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running setup goes on, that pass included."""
    monkeypatch.setattr(main, "MAX_DRAIN", 0.1)
    setup = running.daemon._setup
    stuck = Stuck(setup.engine.store)
    setup.engine.queue.make_all_due()
    stuck.entered.wait(20)
    (fault,) = running.reload(TEXT)
    assert "a pass under way did not end" in fault
    stuck.let_go()

    seen = next(iter(running.daemon.health.keysets())).last_success
    setup.engine.queue.make_all_due()
    running.until(lambda: next(iter(running.daemon.health.keysets())).last_success != seen)
    assert running.daemon._setup is setup


def test_a_configuration_that_takes_too_long_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it ends up with is given back."""
    monkeypatch.setattr(main, "MAX_BUILD", 0.1)
    before = running.daemon._setup
    stuck = Stuck(before.engine.store)
    threads = threading.active_count()
    gate = threading.Event()

    def slow() -> Settings:
        gate.wait(30)
        return running.read()

    stuck.let_go()
    running.daemon._reload(slow)
    assert running.reasons() == {("", AlarmReason.CONFIG_REFUSED)}
    gate.set()
    running.until(lambda: threading.active_count() <= threads + 1)
    assert running.daemon._setup is before


def test_a_configuration_that_hangs_takes_no_worker(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is read: keysets are kept, one thread waits, and once it has ended a reload is good again."""
    monkeypatch.setattr(main, "MAX_BUILD", 0.1)
    setup = running.daemon._setup
    gate = threading.Event()

    def hanging() -> Settings:
        gate.wait(30)
        return running.read()

    for _ in range(setup.settings.daemon.workers + 2):
        running.daemon._reload(hanging)
    assert [thread.name for thread in threading.enumerate()].count("reload") == 1
    assert "hangs since an earlier reload" in running.log.events[-1][2]["detail"]
    seen = next(iter(running.daemon.health.keysets())).last_success
    setup.engine.queue.make_all_due()
    running.until(lambda: next(iter(running.daemon.health.keysets())).last_success != seen)

    monkeypatch.undo()
    gate.set()
    running.until(lambda: "reload" not in [thread.name for thread in threading.enumerate()])
    assert running.reload(TEXT) == ()


def test_the_end_goes_before_a_reload_under_way(tmp_path: Path) -> None:
    """Whatever it waits for; nothing is answered then."""
    running = Running(tmp_path)
    running.until(running.well)
    setup = running.daemon._setup
    stuck = Stuck(setup.engine.store)
    setup.engine.queue.make_all_due()
    stuck.entered.wait(20)
    running.signals.reload()
    running.until(lambda: setup._paused)
    running.signals.stop()
    running._serving.join(10)
    assert not running._serving.is_alive()
    stuck.let_go()
    running.close()

    assert running.daemon._setup is setup
    assert not {"configuration_refused", "configuration_unchanged"} & set(running.log.names())


def test_reloads_leave_nothing_behind(running: Running) -> None:
    """No thread, no file, no socket: a daemon lives for years."""
    running.reload(TEXT)
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for n in range(20):
        running.reload(TEXT + ("nonsense = 1\n" if n % 2 else ""))
    running.reload(TEXT)

    running.until(lambda: threading.active_count() <= before[0] + 1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before[1] + 2
