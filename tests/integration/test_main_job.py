"""
The main job on real servers: rotation under load, rotate-now, two daemons, outages, crashes, revocation, import.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.consumers import Consumers
from tests.support.servers.redis import RedisServer
from tests.support.servers.vault import VaultServer
from tests.support.site import Site, wait_for

LONG = float(os.environ.get("ROTATOR_TEST_SECONDS", "45"))
WEB = '[keysets.web]\nalgorithm = "RS256"\n'
INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
SLOW = {"rotation": "1h", "propagation": "5s", "life": "10s"}


def rotations(log: str, keyset: str) -> list[str]:
    """Return the op_ids of the activations that were not the keyset's first."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    done = [line for line in lines if line["event"] == "key_activated" and line["keyset"] == keyset]
    return [line["op_id"] for line in done if line["reason"] != "first key"]


def propagating(site: Site) -> list[dict[str, Any]]:
    """Wait until the keyset web is at rest, with a current and a confirmed next; return the next."""
    wait_for(lambda: site.keys("web", "current"), 20, lambda: site.log[-2000:])
    return wait_for(lambda: [key for key in site.keys("web", "next") if key.get("usable_at")], 10)


def clean(site: Site) -> None:
    """Assert that no version of any document holds more than the keys that live: no retired secret, no demoted private half."""
    for keyset in ("web", "internal"):
        document = site.document("keys", keyset)
        assert document is not None
        alive = {key["kid"]: key for key in document["keys"]}
        privates = {key["private"] for key in alive.values() if "private" in key}
        for number, version in site.versions("keys", keyset).items():
            for key in version["keys"]:
                assert key["kid"] in alive, (keyset, number)
                assert key.get("private") is None or key["private"] in privates, (keyset, number)
    standbys = site.versions("standby", "web")
    (following,) = site.keys("web", "next")
    assert {standby["kid"] for standby in standbys.values()} == {following["kid"]}


@pytest.mark.slow
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
        done = {name: [op for site in sites for op in rotations(site.log, name)] for name in ("web", "internal")}
        wait_for(lambda: all(site.keys(k, "next") and not site.keys(k, "old") for k in ("web", "internal")), 40)
        wait_for(lambda: _is_clean(site), 5, lambda: site.log[-2000:])

    assert (consumers.failures, consumers.unreached) == ([], 0)
    assert consumers.verified > 50 * LONG
    for ops in done.values():
        assert len(ops) == len(set(ops))
        assert LONG // 22 <= len(ops) <= LONG // 20 + 1
    log = sites[0].log + sites[1].log
    assert "PRIVATE KEY" not in log
    for key in site.keys("internal", "current"):
        assert key["secret"] not in log


def _is_clean(site: Site) -> bool:
    try:
        clean(site)
    except (AssertionError, ValueError):
        return False
    return True


def test_rotate_now(tmp_path: Path, vault_server: VaultServer, mount: str, redis_server: RedisServer) -> None:
    """Too fresh: 3 and the moment; propagated: twenty callers, one rotation, one op_id; a later caller: 3."""
    site = Site(tmp_path, vault_server, mount, redis_server, keysets=WEB, **SLOW)
    with site.daemon():
        (following,) = propagating(site)
        early = site.run("rotate-now", "web")
        assert early.returncode == 3
        assert following["usable_at"] in early.stdout + early.stderr
        assert site.run("rotate-now", "web", "--dry-run").returncode == 3

        time.sleep(8)
        before = site.document("keys", "web")
        assert site.run("rotate-now", "web", "--dry-run").returncode == 0
        assert site.document("keys", "web") == before
        callers = [
            subprocess.Popen(
                site.command("rotate-now", "web", "--output", "json"), stdout=subprocess.PIPE, env=site.environ()
            )
            for _ in range(20)
        ]
        answers = [json.loads(caller.communicate()[0])[0] for caller in callers]
        late = site.run("rotate-now", "web")

        assert [caller.returncode for caller in callers] == [0] * 20
        assert len({answer["op_id"] for answer in answers}) == 1
        (current,) = site.keys("web", "current")
        assert (current["kid"], current["activated_by"]) == (following["kid"], answers[0]["op_id"])
        assert late.returncode == 3
        retried = site.run("rotate-now", "web", "--op-id", current["activated_by"])
        assert retried.returncode == 0
        assert current["activated_by"] in retried.stdout

        planned = site.run("rotate-now", "web", "--when-ready", "--output", "json")
        assert planned.returncode == 0
        op_id = json.loads(planned.stdout)[0]["op_id"]
        wait_for(
            lambda: [k for k in site.keys("web", "current") if k["activated_by"] == op_id], 20, lambda: site.log[-2000:]
        )
        unsafe = site.run("rotate-now", "web", "--unsafe-now")
        assert unsafe.returncode in (0, 3), unsafe.stderr


def test_vault_outage_and_seal(tmp_path: Path, fresh_vault: VaultServer) -> None:
    """The JWKS is served unchanged while Vault is away or sealed, by a restarted daemon too; then one rotation follows."""
    fresh_vault.enable_kv("secret")
    site = Site(tmp_path, fresh_vault, rotation="12s", propagation="4s", life="3s")
    process = site.spawn()
    try:
        wait_for(
            lambda: [k for k in site.keys("web", "next") if k.get("usable_at")] and site.ready(),
            20,
            lambda: site.log[-2000:],
        )
        for stop, resume in ((fresh_vault.stop, fresh_vault.start), (fresh_vault.seal, fresh_vault.unseal)):
            before, count = site.get("/keysets/web/jwks.json"), len(rotations(site.log, "web"))
            stop()
            time.sleep(3)
            process.kill()
            process.wait()
            process = site.spawn()
            served = wait_for(
                lambda: (answer := site.get("/keysets/web/jwks.json"))[0] == 200 and answer,
                20,
                lambda: site.log[-2000:],
            )
            assert served == before
            assert site.get("/readyz", admin=True)[0] == 503
            time.sleep(12)
            assert site.get("/keysets/web/jwks.json") == before
            assert len(rotations(site.log, "web")) == count
            resume()
            wait_for(lambda so_far=count: len(rotations(site.log, "web")) == so_far + 1, 15, lambda: site.log[-2000:])
            wait_for(
                lambda: [k for k in site.keys("web", "next") if k.get("usable_at")] and site.ready(),
                20,
                lambda: site.log[-2000:],
            )
            assert site.run("status").returncode == 0
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_redis_outage_holds_nothing(
    tmp_path: Path, vault_server: VaultServer, mount: str, fresh_redis: RedisServer
) -> None:
    """Rotation goes on without Redis, and what happened is announced when it is back."""
    site = Site(tmp_path, vault_server, mount, fresh_redis, rotation="12s", propagation="4s", life="3s")
    with site.daemon():
        wait_for(lambda: [k for k in site.keys("web", "next") if k.get("usable_at")], 20)
        fresh_redis.stop()
        count = len(rotations(site.log, "web"))
        wait_for(lambda: len(rotations(site.log, "web")) > count, 25, lambda: site.log[-2000:])
        fresh_redis.start()
        client = redis.Redis.from_url(fresh_redis.url, decode_responses=True)

        def announced() -> bool:
            document = site.document("keys", "web")
            value: Any = client.hget("rotator:events:announced", "web")
            return document is not None and value == f"{document['epoch']}:{document['sequence']}"

        wait_for(announced, 45, lambda: site.log[-2000:])
        events: Any = client.xrange("rotator:events")
        types = {json.loads(fields["event"])["type"] for _, fields in events}
        assert {"rotator.key.published", "rotator.keyset.changed"} <= types
        client.close()


def test_kill_nine_at_random(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """However often it is killed, there is one current key, no token fails, and nothing is left behind."""
    site = Site(tmp_path, vault_server, mount, rotation="12s", propagation="2s", life="4s")
    with Consumers(site, poll=0.9, life=4) as consumers:
        for _ in range(int(os.environ.get("ROTATOR_TEST_KILLS", "12"))):
            process = site.spawn()
            time.sleep(random.uniform(0.8, 4.0))  # noqa: S311
            process.kill()
            process.wait()
            for keyset in ("web", "internal"):
                if site.document("keys", keyset):
                    assert len(site.keys(keyset, "current")) <= 1
        with site.daemon():
            wait_for(lambda: _is_clean(site) and not site.keys("web", "old"), 40, lambda: site.log[-3000:])
    # Between kills the listener is down, which a verifier with a good set in hand survives; PyJWKClient has none to fall back to.
    assert consumers.failures == []
    assert consumers.verified > 100


def test_revoke_of_a_current_pair(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """Next signs at once; the revoked kid is out of the JWKS and denied; its material is in no version."""
    site = Site(tmp_path, vault_server, mount, keysets=WEB, **SLOW)
    with site.daemon():
        propagating(site)
        time.sleep(7)
        (current,), (following,) = site.keys("web", "current"), site.keys("web", "next")
        done = site.run("revoke", "web", current["kid"], "--reason", "stolen")
        assert done.returncode == 0, done.stderr
        assert "until" in done.stdout

        document = site.document("keys", "web")
        assert document is not None
        assert document["kid"] == following["kid"]
        assert [entry["kid"] for entry in document["revoked"]] == [current["kid"]]
        wait_for(lambda: current["kid"] not in site.get("/keysets/web/jwks.json")[1], 10)
        public = site.document("jwks", "web")
        assert public is not None
        assert [entry["kid"] for entry in public["revoked"]] == [current["kid"]]
        assert "reason" not in public["revoked"][0]
        assert all(current["private"] not in json.dumps(version) for version in site.versions("keys", "web").values())
        assert site.run("revoke", "web", "nobody").returncode == 2
        assert site.run("revoke", "web", current["kid"]).returncode == 0


def test_import_keeps_old_tokens(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A JWT_SECRET and an RSA key become current; tokens made before verify, and the keysets rotate from there."""
    site = Site(tmp_path, vault_server, mount, rotation="18s", propagation="2s", life="10s")
    secret = "correct horse battery staple " + secrets.token_hex(8)
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    token = jwt.encode({"sub": "me"}, secret, algorithm="HS256")
    assert site.run("import", "internal", stdin="short\n").returncode == 2
    taken = site.run("import", "internal", stdin=secret + "\n")
    assert taken.returncode == 0
    assert "can be guessed" in taken.stderr
    assert secret not in taken.stderr
    assert site.run("import", "internal", stdin=secret + "\n").returncode == 3
    assert site.run("import", "web", "--kid", "legacy-1", stdin=pem).returncode == 0
    internal, web = site.document("keys", "internal"), site.document("keys", "web")
    assert internal is not None
    assert web is not None
    assert internal["current"] == secret
    jwt.decode(token, internal["current"], algorithms=["HS256"])
    assert web["kid"] == "legacy-1"

    with site.daemon():
        assert "legacy-1" in site.get("/keysets/web/jwks.json")[1]
        wait_for(
            lambda: [k for k in site.keys("internal", "old") if k["secret"] == secret], 30, lambda: site.log[-2000:]
        )
        rotated = site.document("keys", "internal")
        assert rotated is not None
        jwt.decode(token, rotated["old"], algorithms=["HS256"])
        assert secret not in site.log
        wait_for(lambda: [k for k in site.keys("web", "old") if k["kid"] == "legacy-1"], 30, lambda: site.log[-2000:])


def test_import_knows_how_long_a_secret_must_be(tmp_path: Path) -> None:
    """HS512 wants 64 bytes, HS256 32; a random secret is imported without a word."""
    keysets = '[keysets.long]\nalgorithm = "HS512"\n\n[keysets.short]\nalgorithm = "HS256"\n'
    site = Site(tmp_path, None, keysets=keysets, **SLOW)
    short = site.run("import", "long", stdin=secrets.token_hex(31))
    assert (short.returncode, "64" in short.stderr) == (2, True)
    assert site.document("keys", "long") is None
    for keyset, size in (("long", 32), ("short", 16)):
        taken = site.run("import", keyset, stdin=secrets.token_urlsafe(2 * size))
        assert taken.returncode == 0
        assert "guessed" not in taken.stderr


def test_signals_and_exit_codes(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """SIGINT ends with 0, SIGHUP reads anew or keeps the old; a store that is away is 69, rights that miss 77."""
    site = Site(tmp_path, vault_server, mount, **SLOW)
    with site.daemon() as process:
        good = site.config.read_text()
        site.config.write_text(good + "\nnonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration_refused" in site.log, 5)
        site.config.write_text(good)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: site.log.count('"started"') == 2, 20, lambda: site.log[-2000:])
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    weak = vault_server.token(["default"])
    denied = site.run("status", VAULT_TOKEN=weak)
    assert denied.returncode == 77
    assert '"read"' in denied.stderr
    assert site.run("status", VAULT_ADDR="http://127.0.0.1:9").returncode == 69
    assert site.run("status", "nobody").returncode == 2
    assert site.run("tick").returncode == 0


def test_deleted_document_freezes(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A signing document deleted by hand is never created again: the JWKS goes on, the alarm names the way out, undelete thaws."""
    site = Site(tmp_path, vault_server, mount, keysets=WEB, **SLOW)
    with site.daemon():
        propagating(site)
        path = f"{mount}/data/rotator/keys/web"
        version = max(site.versions("keys", "web"))
        vault_server.request("DELETE", path, token=vault_server.root_token)
        wait_for(lambda: not site.ready(), 10)
        answer = json.loads(site.get("/readyz", admin=True)[1])
        assert [alarm["reason"] for alarm in answer["alarms"]] == ["frozen"]
        assert "undelete" in answer["alarms"][0]["detail"]
        assert site.get("/keysets/web/jwks.json")[0] == 200
        vault_server.request(
            "POST", f"{mount}/undelete/rotator/keys/web", {"versions": [version]}, token=vault_server.root_token
        )
        wait_for(site.ready, 15, lambda: site.log[-2000:])


def test_policy_daemon_is_enough(tmp_path: Path, vault_server: VaultServer, mount: str) -> None:
    """A token with exactly the printed policy runs the daemon through bootstrap, rotation, retirement and purge."""
    site = Site(tmp_path, vault_server, mount, rotation="10s", propagation="2s", life="3s")
    hcl = site.run("policy", "daemon")
    assert hcl.returncode == 0, hcl.stderr
    name = f"rotator-{mount}"
    vault_server.policy(name, hcl.stdout)
    (site.folder / "token").write_text(vault_server.token([name], no_default_policy=True))
    with site.daemon():
        wait_for(
            lambda: rotations(site.log, "web") and not site.keys("web", "old") and _is_clean(site),
            60,
            lambda: site.log[-3000:],
        )
    assert '"denied"' not in site.log
    assert "purge_pending" not in site.log
