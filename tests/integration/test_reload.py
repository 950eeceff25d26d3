"""
Reloads of a running daemon: under load, at any moment, with good, unchanged and bad configurations.
"""

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rotator.daemon.instance import Answer, read_answer
from tests.support.servers.process import free_port
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, Site, wait_for

pytestmark = pytest.mark.slow
LONG = "ROTATOR_TEST_SECONDS" in os.environ
SEED = 12
PATHS = ("/keysets/web/jwks.json", "/.well-known/jwks.json")
REFUSED = "configuration refused"


# -- under load --------------------------------------------------------------------------------------------------------


class Load:
    """
    JWKS requests without a pause, on connections that are kept and on new ones; `failures` says what went wrong.
    """

    def __init__(self, port: int) -> None:
        self.answered, self.failures = 0, list[str]()
        self._port, self._over = port, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kept,)) for kept in (True, False)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask for the length of a block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _run(self, kept: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        while not self._over.wait(0.002):
            for path in PATHS:
                try:
                    connection.request("GET", path)
                    reply = connection.getresponse()
                    body = reply.read()
                    if reply.status != 200 or not json.loads(body)["keys"]:
                        self.failures.append(f"{path}: {reply.status} {body!r}")
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(f"{path}: {error!r}")
                    connection.close()
                self.answered += 1
            if not kept:
                connection.close()
        connection.close()


class Reloads:
    """
    A daemon of *site* that is asked for one reload after another, and what is seen of it from outside.
    """

    def __init__(self, site: Site, process: "subprocess.Popen[bytes]") -> None:
        self._site, self._process = site, process
        self._admin_port = site.admin_port

    def ask(self, text: str) -> None:
        """Put *text* in place of the configuration, as an editor does, and send a signal."""
        draft = self._site.folder / "draft.toml"
        draft.write_text(text)
        draft.replace(self._site.config)
        self._process.send_signal(signal.SIGHUP)

    def reload(self, text: str) -> tuple[str, ...]:
        """Do as `ask`, and return the faults that the daemon found in *text*."""
        asked_at = time.monotonic()
        self.ask(text)

        def answered() -> Answer | None:
            answer = read_answer(self._site.folder / "state")
            return answer if answer and answer.read_at >= asked_at else None

        faults = wait_for(answered, 60, lambda: self._site.log[-2000:]).faults
        if not faults:
            self._admin_port = int(re.findall(r'\[admin\]\nhttp = ".*:(\d+)"', text)[0])
        return faults

    def admin(self, path: str) -> str:
        """Ask the admin listener of the configuration in force."""
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def alarms(self) -> list[str]:
        """The reasons of the alarms of the daemon itself."""
        found = json.loads(self.admin("/readyz"))["alarms"]
        return [alarm["reason"] for alarm in found if not alarm["keyset"]]

    def metric(self, name: str) -> float:
        """Return a metric without labels."""
        return float(re.findall(rf"^{name} (\S+)$", self.admin("/metrics"), re.MULTILINE)[0])


def variants(site: Site, taken: int) -> tuple[list[str], list[str]]:
    """Return good configurations, and bad ones of several kinds; a program listens on port *taken*."""
    text = site.config.read_text()
    admin = f"127.0.0.1:{site.admin_port}"
    good = [
        text,
        text + '\n[keysets.more]\nalgorithm = "HS256"\n',
        text.replace('"RS256"', '"RS256"\nwell_known = true') + "\n[keysets.other]\nwell_known = true\n",
        text.replace('state_dir = "state"', 'state_dir = "state"\nworkers = 3'),
        text.replace('max_token_lifetime = "10s"', 'max_token_lifetime = "11s"'),
        text.replace(admin, f"0.0.0.0:{site.admin_port}"),
    ]
    bad = [
        text + "\nnonsense = 1\n",
        text + "\n[[[",
        text.replace(admin, f"127.0.0.1:{taken}"),
        text.replace(admin, "192.0.2.1:8472"),
        text.replace('state_dir = "state"', 'state_dir = "elsewhere"'),
        text + '\n[redis]\nurl = "redis://127.0.0.1:1/0"\npassword_file = "missing"\n',
        text + '\n[redis]\nurl = "rediss://127.0.0.1:1/0"\nca_file = "missing"\n',
    ]
    if site.vault is not None:
        bad += [
            text.replace('secret_id_file = "secret_id"', 'secret_id_file = "missing"'),
            text.replace('secret_id_file = "secret_id"', 'secret_id_file = "role_id"'),
            text.replace(f'"{site.vault.address}"', '"https://127.0.0.1:1"\nca_file = "missing"'),
            text.replace(f'"{site.vault.address}"', '"http://127.0.0.1:1"'),
            text.replace(f'mount = "{site.mount}"', 'mount = "nowhere"'),
        ]
    return good, bad


def at_random(site: Site, reloads: int, gap: float) -> Load:
    """Reload *reloads* times under load, with gaps of up to two seconds, *gap* on average; return the load."""
    chance = random.Random(SEED)  # noqa: S311 - the same in each run
    with socket.create_server(("127.0.0.1", 0)) as program, site.daemon() as process:
        wait_for(lambda: site.get(PATHS[1])[0] == 200, 20)
        good, bad = variants(site, program.getsockname()[1])
        daemon, load = Reloads(site, process), Load(site.jwks_port)
        in_force, asked = good[0], 0
        with load.running():
            while asked < reloads:
                for _ in range(chance.choice((0, 0, 1, 3))):  # not waited for: one may come while another is under way
                    daemon.ask(chance.choice([in_force, *good, *bad]))
                    time.sleep(2 * chance.random() ** (2 / gap - 1))
                    asked += 1
                text = chance.choice([chance.choice(bad), chance.choice(good), in_force])
                faults = daemon.reload(text)
                asked += 1
                assert bool(faults) is (text in bad), (text, faults)
                in_force = in_force if faults else text
                assert process.poll() is None
                assert daemon.alarms() == ([REFUSED] if faults else [])
                assert daemon.metric("rotator_config_last_reload_successful") == (0 if faults else 1)
            for text in (good[0].replace(str(site.admin_port), str(free_port())), good[0]):
                assert daemon.reload(text) == ()
                assert daemon.alarms() == []
        assert load.answered > 10 * reloads
        wait_for(site.ready, 20)
    return load


def test_reloads_at_random_gaps_cost_no_request(tmp_path: Path) -> None:
    """Good, unchanged and bad ones: no death, each bad one is alarmed until the next good one, every request answered."""
    load = at_random(Site(tmp_path, None, **SLOW), 50, 1.0 if LONG else 0.25)

    assert load.failures == []


def with_approle(folder: Path, vault: VaultServer, mount: str) -> Site:
    """Return a site whose daemon logs in with an AppRole of its own."""
    site = Site(folder, vault, mount, **SLOW)
    login = 'auth = "approle"\nrole_id_file = "role_id"\nsecret_id_file = "secret_id"\n'
    site.config.write_text(site.config.read_text().replace('auth = "token"\ntoken_file = "token"\n', login))
    vault.policy(mount, site.run("policy", "daemon").stdout)
    role_id, secret_id = vault.approle(mount, [mount], token_no_default_policy=True)
    (folder / "role_id").write_text(role_id)
    (folder / "secret_id").write_text(secret_id)
    return site


@pytest.mark.vault
def test_reloads_with_vault_cost_no_request_and_leave_no_token(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """Each logs in beside the running one; what is replaced, refused or ended gives its token back."""
    fresh_vault.enable_kv("kv")
    site = with_approle(tmp_path, fresh_vault, "kv")
    before = tokens(fresh_vault)
    load = at_random(site, 50 if LONG else 20, 1.0 if LONG else 0.25)

    assert load.failures == []
    assert tokens(fresh_vault) == before


def tokens(vault: VaultServer) -> int:
    """Return how many tokens Vault knows."""
    status, answer = vault.request("LIST", "auth/token/accessors")
    assert status == 200
    return len(answer["data"]["keys"])


@pytest.mark.vault
def test_a_reload_while_vault_is_away(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """It is put in force, for the daemon lives with outages; rotation goes on with the new one when Vault is back."""
    fresh_vault.enable_kv("kv")
    site = with_approle(tmp_path, fresh_vault, "kv")
    with site.daemon() as process:
        daemon, load = Reloads(site, process), Load(site.jwks_port)
        wait_for(lambda: site.get(PATHS[1])[0] == 200, 20)
        fresh_vault.seal()
        with load.running():
            assert daemon.reload(site.config.read_text() + '\n[keysets.more]\nalgorithm = "HS256"\n') == ()
            assert "reloaded_without_store" in site.log
            fresh_vault.unseal()
            wait_for(lambda: site.document("keys", "more"), 60, lambda: site.log[-2000:])
    assert load.failures == []


@pytest.mark.redis
def test_reloads_leave_one_subscription(tmp_path: Path, fresh_redis: RedisServer) -> None:
    """To the channel that is configured now; with Redis away a reload is put in force all the same."""
    site = Site(tmp_path, None, redis=fresh_redis, **SLOW)
    text = site.config.read_text()
    moved = text.replace("[redis]\n", '[redis]\nchannel = "moved"\n')
    with site.daemon() as process, contextlib.closing(redis.Redis.from_url(fresh_redis.url)) as client:
        daemon = Reloads(site, process)
        for n in range(10):
            assert daemon.reload(moved if n % 2 else text) == ()
        wait_for(
            lambda: dict(client.pubsub_numsub("moved", "rotator:events")) == {b"moved": 1, b"rotator:events": 0}, 10
        )
        assert len(client.client_list()) <= 4
        fresh_redis.stop()
        assert daemon.reload(text) == ()
        fresh_redis.start()
        wait_for(lambda: dict(client.pubsub_numsub("rotator:events")) == {b"rotator:events": 1}, 30)


# -- at any moment -----------------------------------------------------------------------------------------------------


def hangups(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Send a SIGHUP every few milliseconds for a while, or until the process ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.005)


def takes_hangups(process: "subprocess.Popen[bytes]") -> bool:
    """Whether SIGHUP would not end the process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    masks = re.findall(r"^Sig(?:Ign|Cgt):\s(\S+)$", status, re.MULTILINE)
    return any(int(mask, 16) & 1 << (signal.SIGHUP - 1) for mask in masks)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_start_under_hangups(tmp_path: Path, ignored: bool) -> None:
    """From the first line of Python on; from the very first instruction if it is started with SIGHUP ignored."""
    site = Site(tmp_path, None, **SLOW)
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if ignored else []
    with (tmp_path / "daemon.log").open("wb") as log:
        process = subprocess.Popen([*command, *site.command("run")], stdout=log, stderr=log, env=site.environ())
    try:
        wait_for(lambda: takes_hangups(process), 20)
        hangups(process, 1.5)
        wait_for(site.ready, 30, lambda: site.log[-2000:])
        site.config.write_text("[[[")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration_refused" in site.log, 20)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_an_end_under_hangups(tmp_path: Path) -> None:
    """The end goes first, up to the last instruction."""
    site = Site(tmp_path, None, **SLOW)
    with site.daemon() as process:
        hangups(process, 0.5)
        process.terminate()
        hangups(process, 30)
        assert process.wait(30) == 0
    assert site.log.count('"stopped"') == 1


def test_a_reload_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    """Where anyone who may write there would run code in the daemon."""
    site = Site(tmp_path, None, **SLOW)
    trap = tmp_path / "work"
    trap.mkdir()
    for name in ("secrets", "redis", "hvac", "rotator"):
        (trap / f"{name}.py").write_text("import os\nos._exit(99)\n")
    with (tmp_path / "daemon.log").open("wb") as log:
        process = subprocess.Popen(site.command("run"), stdout=log, stderr=log, env=site.environ(), cwd=trap)
    try:
        wait_for(site.ready, 30, lambda: site.log[-2000:])
        text = site.config.read_text() + '\n[redis]\nurl = "redis://127.0.0.1:1/0"\n'
        assert Reloads(site, process).reload(text) == ()
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_many_reloads_leave_memory_flat(tmp_path: Path) -> None:
    """No thread, no file, no growth; with ROTATOR_TEST_SECONDS after two hundred."""
    site = Site(tmp_path, None, **SLOW)
    with site.daemon() as process:
        daemon, text = Reloads(site, process), site.config.read_text()

        def size() -> tuple[int, float, float]:
            status = Path(f"/proc/{process.pid}/status").read_text()
            threads, rss = (
                int(re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[0]) for name in ("Threads", "VmRSS")
            )
            return threads, daemon.metric("process_open_fds"), rss / 1024

        for n in range(20):
            daemon.reload(text + ("\nnonsense = 1\n" if n % 3 else ""))
        threads, files, megabytes = size()
        for n in range(200 if LONG else 60):
            daemon.reload(text + ("\nnonsense = 1\n" if n % 4 == 3 else ""))
        after = size()

    print(f"threads, files, MB: {threads} {files:.0f} {megabytes:.1f} -> {after}")
    assert after[0] <= threads + 2
    assert after[1] <= files + 2
    assert after[2] <= megabytes + 3


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_how_it_ended(tmp_path: Path) -> None:
    """0 once it is in force, 78 with the reason; `status` shows the alarm."""
    site = Site(tmp_path, None, **SLOW)
    good = site.config.read_text()
    with site.daemon() as process, socket.create_server(("127.0.0.1", 0)) as program:
        site.config.write_text(good + '\n[keysets.more]\nalgorithm = "HS256"\n')
        accepted = site.run("reload")
        assert (accepted.returncode, accepted.stdout) == (0, "reloaded\n")
        wait_for(lambda: site.keys("more", "current"), 10)

        bad = good.replace(f'http = "127.0.0.1:{site.jwks_port}"', f'http = "127.0.0.1:{program.getsockname()[1]}"')
        site.config.write_text(bad)
        refused = site.run("reload")
        assert refused.returncode == 78
        assert "[publish] http: cannot listen on" in refused.stderr
        assert f"ALARM {REFUSED}: [publish] http: cannot listen on" in site.run("status").stdout

        site.config.write_text("[[[")
        assert site.run("reload", MAINPID=str(process.pid)).returncode == 78
        wait_for(lambda: "is not valid TOML" in site.log, 10)
    assert site.run("reload").returncode == 78
    site.config.write_text(good)
    assert site.run("reload").returncode == 69
