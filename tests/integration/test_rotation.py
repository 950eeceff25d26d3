"""
Rotation on demand: too early, by a crowd at once, again, and as soon as the policy allows.
"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

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


@pytest.mark.slow
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
