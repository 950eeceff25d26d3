"""
A real Vault or OpenBao server: found, or built once from its Go module, and run on loopback with raft storage.

Not in `-dev` mode: it can be sealed, stopped, killed and started again with its data. Vault (BUSL-1.1) is a test tool
here, never shipped or linked.
"""

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.servers.process import Server, ServerError

SOURCE = Path(__file__).parent / "vault"
MISSING = (
    "no Vault: set ROTATOR_TEST_VAULT to a bao or vault binary, put one on PATH, "
    "or have go >= 1.26 on PATH so that `make test` can build one (once, 5 to 7 minutes)"
)
GO_NEEDED = (1, 26)
# Loopback must not go through a proxy that the environment names.
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def find_vault(*, build: bool = True) -> Path | None:
    """
    The server to run: ROTATOR_TEST_VAULT, `bao` or `vault` on PATH, the cached build, if *build* one made now, or none.
    """
    if named := os.environ.get("ROTATOR_TEST_VAULT"):
        return Path(named)
    for name in ("bao", "vault"):
        if found := shutil.which(name):
            return Path(found)
    cached = cached_vault()
    if cached.is_file():
        return cached
    return _build(cached) if build else None


def cached_vault() -> Path:
    """
    Where a build of exactly these go.mod and go.sum is kept.
    """
    digest = hashlib.sha256((SOURCE / "go.mod").read_bytes() + (SOURCE / "go.sum").read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rotator-test-servers" / f"vault-{digest[:16]}" / "vault"


def _build(target: Path) -> Path | None:
    """
    Build the server under a lock, so that parallel runs build it once; a half-made one is never seen.
    """
    if not _go_will_do():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():
            return target
        partial = target.with_suffix(".partial")
        flags = ["-mod=readonly", "-tags", "minimal", "-trimpath", "-ldflags", "-s -w"]
        command = ["go", "build", *flags, "-o", str(partial), "github.com/hashicorp/vault"]
        print(f"building a Vault server for the tests, once, into {target.parent}", flush=True)
        print("(5 to 7 minutes on 2 cores, about 5 GB of Go caches)", flush=True)
        started = time.monotonic()
        with (target.parent / "build.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=SOURCE, stdout=log, stderr=subprocess.STDOUT)
            while True:
                try:
                    code = process.wait(timeout=20)
                    break
                except subprocess.TimeoutExpired:
                    print(f"  ... still building Vault, {time.monotonic() - started:.0f} s", flush=True)
        if code != 0:
            print(f"the Vault build failed; its last lines (all: {log.name}):", flush=True)
            print("\n".join(Path(log.name).read_text(errors="replace").splitlines()[-15:]), flush=True)
            return None
        partial.rename(target)
        print(f"built Vault in {time.monotonic() - started:.0f} s", flush=True)
        return target


def _go_will_do() -> bool:
    if shutil.which("go") is None:
        return False
    answer = subprocess.run(["go", "env", "GOVERSION"], cwd=SOURCE.parent, capture_output=True, text=True, check=False)
    version = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    if version is None or (int(version[1]), int(version[2])) < GO_NEEDED:
        print(f"go on PATH is {answer.stdout.strip() or 'unusable'}; Vault needs >= 1.26", file=sys.stderr, flush=True)
        return False
    return True


class VaultServer(Server):
    """
    One Vault node with one unseal key; `start` initialises it the first time and unseals it every time.
    """

    def __init__(self, node_id: str = "one") -> None:
        binary = find_vault()
        if binary is None:
            raise ServerError(MISSING)
        super().__init__()
        self._binary = binary
        self._unseal_key = ""
        self.root_token = ""
        (self.folder / "data").mkdir()
        (self.folder / "config.hcl").write_text(
            f"""
            storage "raft" {{
              path = "{self.folder}/data"
              node_id = "{node_id}"
              performance_multiplier = 1
            }}
            listener "tcp" {{
              address = "127.0.0.1:{self.port}"
              tls_disable = true
            }}
            api_addr = "{self.address}"
            cluster_addr = "http://127.0.0.1:{self.port + 1}"
            disable_mlock = true
            """
        )

    @property
    def address(self) -> str:
        """
        What VAULT_ADDR would be.
        """
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """
        The foreground command line.
        """
        return [str(self._binary), "server", f"-config={self.folder}/config.hcl"]

    def answers(self) -> bool:
        """
        Whether the listener is up, sealed or not.
        """
        try:
            self.request("GET", "sys/seal-status", token="")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def start(self, *, unseal: bool = True, initialise: bool = True) -> None:
        """
        Start; initialise an empty store, and unseal, unless told not to.
        """
        super().start()
        if initialise and not self._unseal_key:
            answer = self._do("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self._unseal_key, self.root_token = answer["keys"][0], answer["root_token"]
        if unseal:
            self.unseal()

    def seal(self) -> None:
        """
        Seal: every request is answered with 503 until `unseal`.
        """
        self._do("PUT", "sys/seal")

    def unseal(self) -> None:
        """
        Unseal and wait until the node is active.
        """
        self._do("PUT", "sys/unseal", {"key": self._unseal_key})
        self.wait_for(lambda: self.request("GET", "sys/health", token="")[0] == http.HTTPStatus.OK, "become active")

    def enable_kv(self, mount: str = "secret") -> None:
        """
        Mount a KV version 2 store at *mount* and wait until it takes requests.
        """
        self._do("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        self.wait_for(lambda: self.request("GET", f"{mount}/config")[0] == http.HTTPStatus.OK, f"mount {mount}")

    def policy(self, name: str, hcl: str) -> None:
        """
        Write the ACL policy *name*.
        """
        self._do("PUT", f"sys/policies/acl/{name}", {"policy": hcl})

    def token(self, policies: list[str], ttl: str = "1h", **options: Any) -> str:
        """
        A new token with *policies*; *options* go to auth/token/create.
        """
        answer = self._do("POST", "auth/token/create", {"policies": policies, "ttl": ttl, **options})
        return str(answer["auth"]["client_token"])

    def approle(self, role: str, policies: list[str], **options: Any) -> tuple[str, str]:
        """
        Create or change an AppRole; return its role_id and a new secret_id, "" if it takes none.
        """
        if "approle/" not in self._do("GET", "sys/auth")["data"]:
            self._do("POST", "sys/auth/approle", {"type": "approle"})
        self._do("POST", f"auth/approle/role/{role}", {"token_policies": policies, **options})
        role_id = self._do("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        if not options.get("bind_secret_id", True):
            return role_id, ""
        secret_id = self._do("POST", f"auth/approle/role/{role}/secret-id")["data"]["secret_id"]
        return role_id, secret_id

    def wrapped_secret_id(self, role: str) -> str:
        """
        Return a token that wraps a new secret_id of an AppRole.
        """
        path, headers = f"auth/approle/role/{role}/secret-id", {"X-Vault-Wrap-TTL": "60"}
        return str(self.request("POST", path, {}, headers=headers)[1]["wrap_info"]["token"])

    # `json` is the word that every HTTP client uses here.
    def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        token: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        timeout: float = 15,
    ) -> tuple[int, Any]:
        """
        One request to /v1/*path* as root, as *token*, or without one (""); the status and the decoded answer.
        """
        whose = self.root_token if token is None else token
        headers = {"X-Vault-Token": whose, "X-Vault-Request": "true", **headers}
        body = None if json is None else _dump(json)
        request = urllib.request.Request(f"{self.address}/v1/{path}", data=body, method=method, headers=headers)
        try:
            with NO_PROXY.open(request, timeout=timeout) as answer:
                return answer.status, _load(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, _load(refused.read())

    def _do(self, method: str, path: str, json: Any = None) -> Any:
        status, answer = self.request(method, path, json)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise self.failure(f"{method} {path}: {status} {answer}")
        return answer


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _load(raw: bytes) -> Any:
    return json.loads(raw) if raw else {}
