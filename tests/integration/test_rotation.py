"""
Rotation on real servers: two daemons under load, and on demand.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.consumers import Consumers
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import SLOW, WEB, Site, wait_for

CALLERS = 20
# What takes long is done once: every module is imported. Then all callers begin at the same moment.
CROWD = f"""
import importlib, os, pkgutil, sys
import rotator

for module in pkgutil.walk_packages(rotator.__path__, "rotator."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from rotator.cli import main

reading, writing = os.pipe()
callers = []
for number in range({CALLERS}):
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os.dup2(os.open(sys.argv[1] + str(number), os.O_WRONLY | os.O_CREAT), 1)
        sys.argv[1:] = sys.argv[2:]
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
        os._exit(70)
    callers.append(pid)
os.close(writing)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in callers])
"""
LONG = float(os.environ.get("ROTATOR_TEST_SECONDS", "45"))


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(120 + 2 * LONG)
def test_two_daemons_under_load_rotate_once_and_fail_no_token(
    tmp_path: Path, vault_server: VaultServer, mount: str, redis_server: RedisServer
) -> None:
    """
    Plain consumers verify every token until it expires, on either's listener, through rotations of both keysets.

    Each due rotation happens once, whichever daemon does it; what is retired is gone.
    """
    sites = [Site(tmp_path / name, vault_server, mount, redis_server) for name in "ab"]
    site = sites[0]
    with sites[0].daemon(), sites[1].daemon(), Consumers(*sites) as consumers:
        time.sleep(LONG)
        done = {name: [op for site in sites for op in site.rotations(name)] for name in ("web", "internal")}
        wait_for(lambda: all(site.keys(k, "next") and not site.keys(k, "old") for k in ("web", "internal")), 40)
        wait_for(site.purged, 5, lambda: site.log[-2000:])

    assert (consumers.failures, consumers.unreached) == ([], 0)
    assert consumers.verified > 50 * LONG
    for ops in done.values():
        assert len(ops) == len(set(ops))
        assert LONG // 22 <= len(ops) <= LONG // 20 + 1
    log = sites[0].log + sites[1].log
    assert "PRIVATE KEY" not in log
    for key in site.keys("internal", "current"):
        assert key["secret"] not in log


def test_rotate_now(tmp_path: Path, vault_server: VaultServer, mount: str, redis_server: RedisServer) -> None:
    """Too fresh: 3 and the moment; propagated: twenty callers, one rotation, one op_id; a later caller: 3."""
    # The key of `fresh` stays too fresh however slowly commands start.
    fresh = '[keysets.fresh]\nalgorithm = "HS256"\npropagation_time = "10m"\n'
    site = Site(tmp_path, vault_server, mount, redis_server, keysets=WEB + fresh, **SLOW | {"propagation": "12s"})
    with site.daemon():
        (too_fresh,) = wait_for(lambda: site.confirmed("fresh"), 30, lambda: site.log[-2000:])
        early = site.run("rotate-now", "fresh")
        assert early.returncode == 3
        assert too_fresh["usable_at"] in early.stdout + early.stderr
        assert site.run("rotate-now", "fresh", "--dry-run").returncode == 3

        (next_key,) = site.at_rest()
        usable = datetime.fromisoformat(next_key["usable_at"])
        time.sleep(max(0.0, (usable - datetime.now(UTC)).total_seconds()) + 1.5)
        before = site.document("keys", "web")
        assert site.run("rotate-now", "web", "--dry-run").returncode == 0
        assert site.document("keys", "web") == before
        crowd = subprocess.run(
            [
                sys.executable,
                "-c",
                CROWD,
                tmp_path / "answer-",
                *site.command("rotate-now", "web", "--output", "json")[1:],
            ],
            env=site.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert crowd.stdout == f"{[0] * CALLERS}\n", crowd.stderr
        answers = [json.loads((tmp_path / f"answer-{number}").read_text())[0] for number in range(CALLERS)]
        late = site.run("rotate-now", "web")

        assert len({answer["op_id"] for answer in answers}) == 1
        (current,) = site.keys("web", "current")
        assert (current["kid"], current["activated_by"]) == (next_key["kid"], answers[0]["op_id"])
        assert late.returncode == 3
        retried = site.run("rotate-now", "web", "--op-id", current["activated_by"])
        assert retried.returncode == 0
        assert current["activated_by"] in retried.stdout

        planned = site.run("rotate-now", "web", "--when-ready", "--output", "json")
        assert planned.returncode == 0
        op_id = json.loads(planned.stdout)[0]["op_id"]
        wait_for(
            lambda: [k for k in site.keys("web", "current") if k["activated_by"] == op_id], 40, lambda: site.log[-2000:]
        )
        unsafe = site.run("rotate-now", "web", "--unsafe-now")
        assert unsafe.returncode in (0, 3), unsafe.stderr
