"""
A whole installation for a test: configuration, processes, and a look into the store from outside.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.support.servers.process import free_port
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer

T = TypeVar("T")
PROGRAM = str(Path(sys.executable).with_name("rotator"))
WEB = '[keysets.web]\nalgorithm = "RS256"\n'
INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
# No rotation falls into a test by itself.
SLOW = {"rotation": "1h", "propagation": "5s", "life": "10s"}


class Site:
    """
    One config.toml in a folder of its own, on a real Vault (or the file store) and perhaps a real Redis.
    """

    def __init__(
        self,
        folder: Path,
        vault: VaultServer | None,
        mount: str = "secret",
        redis: RedisServer | None = None,
        *,
        keysets: str = WEB + INTERNAL,
        rotation: str = "20s",
        propagation: str = "5s",
        life: str = "10s",
        more: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.vault, self.mount, self.redis = folder, vault, mount, redis
        self.jwks_port, self.admin_port = free_port(), free_port()
        self.config = folder / "config.toml"
        store = '[store]\nbackend = "file"\npath = "store"\n'
        if vault is not None:
            (folder / "token").write_text(vault.root_token)
            store = f'[vault]\naddress = "{vault.address}"\nmount = "{mount}"\nauth = "token"\ntoken_file = "token"\n'
        self.config.write_text(
            f"""{store}
{f'[redis]{chr(10)}url = "{redis.url}"' if redis else ""}
[publish]
file = "public/jwks.json"
http = "127.0.0.1:{self.jwks_port}"

[admin]
http = "127.0.0.1:{self.admin_port}"

[daemon]
state_dir = "state"

[log]
format = "json"

[defaults]
rotation_period = "{rotation}"
propagation_time = "{propagation}"
max_token_lifetime = "{life}"
clock_skew = "1s"
{more}
{keysets}
"""
        )

    @property
    def jwks_url(self) -> str:
        """The URL of the RS256 keyset's JWKS."""
        return f"http://127.0.0.1:{self.jwks_port}/keysets/web/jwks.json"

    @property
    def log(self) -> str:
        """Everything the daemons of this site have logged."""
        path = self.folder / "daemon.log"
        return path.read_text() if path.exists() else ""

    def run(self, *arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command of rotator to its end."""
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environ(**environ),
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a command."""
        return [PROGRAM, "--config", str(self.config), *arguments]

    @staticmethod
    def environ(**more: str) -> dict[str, str]:
        """Return an environment without anything that would win over the configuration."""
        unwanted = ("VAULT_", "REDIS_URL", "ROTATOR_", "CREDENTIALS_", "NOTIFY_")
        return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)} | more

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a daemon that logs into the site's folder."""
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(self.command("run"), stdout=log, stderr=log, env=self.environ())

    @contextlib.contextmanager
    def daemon(self, *, ready: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        """Run a daemon for a while; it must end by SIGTERM with exit code 0 if it is still there."""
        process = self.spawn()
        try:
            if ready:
                wait_for(self.ready, 30, lambda: self.log[-3000:])
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0

    def get(self, path: str, *, admin: bool = False) -> tuple[int, str]:
        """GET a path of one of the listeners; 0 when it cannot be reached."""
        port = self.admin_port if admin else self.jwks_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        """Whether the daemon says it is ready."""
        return self.get("/readyz", admin=True)[0] == 200

    def document(self, tree: str, keyset: str) -> dict[str, Any] | None:
        """Return a document as any reader of the store sees it."""
        if self.vault is None:
            path = self.folder / "store" / tree / f"{keyset}.json"
            return json.loads(path.read_text())["fields"] if path.exists() else None
        status, reply = self.vault.request(
            "GET", f"{self.mount}/data/rotator/{tree}/{keyset}", token=self.vault.root_token
        )
        return reply["data"]["data"] if status == 200 else None

    def keys(self, keyset: str, state: str) -> list[dict[str, Any]]:
        """Return the keys of a keyset in a state."""
        document = self.document("keys", keyset)
        return [key for key in document["keys"] if key["state"] == state] if document else []

    def versions(self, tree: str, keyset: str) -> dict[int, dict[str, Any]]:
        """Return every version of a document that can still be read."""
        assert self.vault is not None
        root, base = self.vault.root_token, f"{self.mount}/data/rotator/{tree}/{keyset}"
        status, metadata = self.vault.request("GET", f"{self.mount}/metadata/rotator/{tree}/{keyset}", token=root)
        found = {}
        for number in range(1, (metadata["data"]["current_version"] if status == 200 else 0) + 1):
            status, reply = self.vault.request("GET", f"{base}?version={number}", token=root)
            if status == 200:
                found[number] = reply["data"]["data"]
        return found

    def rotations(self, keyset: str) -> list[str]:
        """The op_ids of the activations in the log that were not the keyset's first."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        done = [line for line in lines if line["event"] == "key_activated" and line["keyset"] == keyset]
        return [line["op_id"] for line in done if line["reason"] != "first key"]

    def confirmed(self, keyset: str = "web") -> list[dict[str, Any]]:
        """The next key of a keyset once its publication is confirmed, else nothing."""
        return [key for key in self.keys(keyset, "next") if key.get("usable_at")]

    def at_rest(self) -> list[dict[str, Any]]:
        """Wait until the keyset web has a current key and a confirmed next one; return the next one."""
        wait_for(lambda: self.keys("web", "current"), 30, lambda: self.log[-2000:])
        return wait_for(self.confirmed, 20)

    def purged(self) -> bool:
        """Whether no version of any document holds a retired secret or a demoted private key; for web and internal."""
        for keyset in ("web", "internal"):
            document = self.document("keys", keyset)
            if document is None:
                return False
            alive = {key["kid"] for key in document["keys"]}
            privates = {key["private"] for key in document["keys"] if "private" in key} | {None}
            stored = [key for version in self.versions("keys", keyset).values() for key in version["keys"]]
            if any(key["kid"] not in alive or key.get("private") not in privates for key in stored):
                return False
        standbys = {standby["kid"] for standby in self.versions("standby", "web").values()}
        next_kids = [key["kid"] for key in self.keys("web", "next")]
        return len(next_kids) == 1 and standbys == set(next_kids)


def wait_for(probe: Callable[[], T], seconds: float, why: Callable[[], str] = lambda: "") -> T:
    """Return the first truthy answer of *probe*; fail after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := probe():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {why()}")
