"""
A transcript of what operators see: a whole life on the file store, told by the installed commands and by the daemon.

What varies from run to run (kids, secrets, ids, moments, ports, paths) is replaced by words, so that two transcripts of
the same behaviour are the same text. `python -m tests.support.transcript [PROGRAM]` prints one; see
`tests/integration/test_transcript.py`.
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rotator.dev import free_port
from rotator.model.times import parse_time
from tests.support.site import Site, wait_for

PREFIX = "rotator-transcript-"
COMMANDS = [
    "run",
    "reload",
    "rotate-now",
    "revoke",
    "import",
    "status",
    "tick",
    "check",
    "policy",
    "jwks",
    "generate",
    "dev",
]
KEYSETS = """
[keysets.web]
well_known = true

[keysets.fast]
propagation_time = "1s"
max_token_lifetime = "1h"
well_known = false

[keysets.internal]
algorithm = "HS256"
propagation_time = "1s"
max_token_lifetime = "1h"

[keysets.imported]
algorithm = "HS384"

[keysets.legacy]
well_known = false
"""
SHORT = """
[keysets.web]
[keysets.internal]
algorithm = "HS256"
"""
GONE = """
[keysets.gone]
algorithm = "HS512"
"""
FAULTY = """
[store]
backend = "paper"
[vault]
address = "vault.example"
[daemon]
workers = 0
colour = "blue"
[admin]
http = "8472"
[defaults]
algorithm = "none"
rotation_period = 30
[keysets.Web]
[keysets.short]
algorithm = "HS256"
rotation_period = "1h"
"""
VAULT = """
[vault]
address = "http://127.0.0.1:{port}"
mount = "kv"
prefix = "team/rotator"
namespace = "ns1"
auth = "token"
token_file = "token"
[publish]
file = ""
[keysets.web]
[keysets.internal]
algorithm = "HS256"
"""
SECRET = "correct horse battery staple correct horse battery"
FIRST_OF_THE_LOG = ("timestamp", "level", "event")


def transcript(program: str, folder: Path) -> str:
    """Return what *program* (an installed `rotator`) does in the empty *folder*, as text without what varies."""
    with ThreadPoolExecutor(2) as side_by_side:
        daemon = side_by_side.submit(lambda: "\n".join(_daemon(program, folder / "daemon")))
        commands = side_by_side.submit(lambda: "\n".join(_commands(program, folder)))
        return _without_what_varies(commands.result() + "\n" + daemon.result(), folder)


# -- the commands ------------------------------------------------------------------------------------------------------


class _Shell:
    """
    Runs `rotator` with one configuration and tells command, exit code and both outputs.
    """

    def __init__(self, program: str, folder: Path, config: str | None) -> None:
        self._program, self._folder, self._config = program, folder, config
        self.said = ""

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run one command; `said` is its standard output afterwards."""
        config = ["--config", self._config] if self._config else []
        done = subprocess.run(
            [self._program, *config, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self._folder,
            env=_environ(),
            check=False,
        )
        self.said = done.stdout
        told = [f"$ rotator {' '.join(arguments)}", f"exit {done.returncode}"]
        told += [f"  out| {line}".rstrip() for line in done.stdout.splitlines()]
        told += [f"  err| {line}".rstrip() for line in done.stderr.splitlines()]
        return "\n".join([*told, ""])


def _commands(program: str, folder: Path) -> Iterator[str]:
    plain = _Shell(program, folder, None)
    yield _chapter("Help")
    yield plain("--version")
    for arguments in ((), *((name,) for name in COMMANDS)):
        yield plain(*arguments, "--help")
    yield plain("rotate")
    yield plain("status", "--colour")
    yield from _faulty(program, folder)
    yield from _policies(program, folder)
    site = Site(folder / "site", None, keysets=KEYSETS, rotation="30d", propagation="2h", life="7d")
    rotator = _Shell(program, site.folder, str(site.config))
    yield from _beginning(rotator)
    yield from _imports(rotator, site)
    yield from _passes(rotator, site)
    yield from _rotations(rotator, site)
    yield from _revocations(rotator, site)
    yield _chapter("What is stored in the end")
    yield from _documents(site)
    yield from _damage(rotator, site)


def _faulty(program: str, folder: Path) -> Iterator[str]:
    yield _chapter("A configuration that cannot work")
    for name, text in (("missing", None), ("syntax", "[vault\n"), ("empty", ""), ("faulty", FAULTY)):
        path = folder / f"{name}.toml"
        if text is not None:
            path.write_text(text)
        yield _Shell(program, folder, str(path))("check")


def _policies(program: str, folder: Path) -> Iterator[str]:
    yield _chapter("Policies for Vault, and a Vault that is not there")
    (folder / "vault").mkdir()
    path = folder / "vault" / "config.toml"
    path.write_text(VAULT.format(port=free_port()))
    (folder / "vault" / "token").write_text("a token of nobody")
    rotator = _Shell(program, folder, str(path))
    for role in ("daemon", "operator", "signer", "verifier"):
        yield rotator("policy", role)
    yield rotator("policy", "daemon", "web", "--output", "json")
    yield rotator("policy", "verifier", "internal", "--output", "json")
    yield rotator("policy", "daemon", "nothing")
    yield rotator("policy", "cook")
    yield rotator("jwks", "web")
    yield rotator("status")


def _beginning(rotator: _Shell) -> Iterator[str]:
    yield _chapter("Before the first pass")
    yield rotator("generate")
    yield rotator("generate", "--output", "json")
    yield rotator("check")
    yield rotator("check", "--output", "json")
    yield rotator("policy", "daemon")
    yield rotator("status", "web")
    yield rotator("status", "--output", "json")
    yield rotator("jwks", "web")
    yield rotator("rotate-now", "web")
    yield rotator("revoke", "web", "a-kid")


def _imports(rotator: _Shell, site: Site) -> Iterator[str]:
    yield _chapter("Import")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (site.folder / "key.pem").write_text(pem)
    yield rotator("import", "imported", stdin="too short")
    yield rotator("import", "imported", stdin=pem)
    yield rotator("import", "nothing", stdin=SECRET)
    yield rotator("import", "imported", "--kid", "a\tb", stdin=SECRET)
    yield rotator("import", "imported", "--file", "not-there")
    yield rotator("import", "legacy", stdin=SECRET)
    yield rotator("import", "imported", stdin=SECRET + "\n")
    yield rotator("import", "legacy", "--file", "key.pem", "--kid", "old-kid", "--output", "json")
    yield rotator("import", "imported", stdin=SECRET)


def _passes(rotator: _Shell, site: Site) -> Iterator[str]:
    yield _chapter("Passes")
    # The first key of a keyset signs a second after it was published: how many passes that takes is not told.
    wait_for(lambda: rotator("tick") and site.keys("web", "next") and site.keys("fast", "current"), 20)
    wait_for(lambda: rotator("tick") and site.keys("web", "current") and site.keys("fast", "next"), 20)
    yield rotator("tick")
    yield rotator("tick", "--output", "json")
    _propagated(site)
    yield rotator("status")
    yield rotator("status", "--output", "json")
    yield rotator("status", "nothing")
    yield rotator("jwks")
    yield rotator("jwks", "fast")
    yield rotator("jwks", "internal")
    yield rotator("check")
    yield _chapter("What is stored")
    yield from _documents(site)


def _propagated(site: Site) -> None:
    """
    Wait until the next keys of `fast` and `internal` may sign.
    """
    for keyset in ("fast", "internal"):
        usable_at = parse_time(site.keys(keyset, "next")[0]["usable_at"])
        time.sleep(max(0.0, (usable_at - datetime.now(UTC)).total_seconds() + 0.05))


def _rotations(rotator: _Shell, site: Site) -> Iterator[str]:
    yield _chapter("Rotate now")
    op_id = "0190a0b4-7c00-7000-8000-000000000001"
    yield rotator("rotate-now")
    yield rotator("rotate-now", "nothing")
    yield rotator("rotate-now", "web", "--all")
    yield rotator("rotate-now", "web", "--when-ready", "--unsafe-now")
    yield rotator("rotate-now", "web", "fast", "--op-id", op_id)
    yield rotator("rotate-now", "web", "--op-id", "")
    yield rotator("rotate-now", "web")
    yield rotator("rotate-now", "web", "--output", "json")
    yield rotator("rotate-now", "--all", "--dry-run")
    yield rotator("rotate-now", "web", "--when-ready", "--dry-run")
    yield rotator("rotate-now", "web", "--when-ready")
    yield rotator("rotate-now", "web", "--when-ready", "--output", "json")
    yield rotator("status", "web")
    yield rotator("rotate-now", "web", "--unsafe-now", "--dry-run")
    yield rotator("rotate-now", "web", "--unsafe-now", "--reason", "a rehearsal")
    yield rotator("rotate-now", "fast", "--op-id", op_id)
    yield rotator("rotate-now", "fast", "--op-id", op_id)
    yield rotator("rotate-now", "fast")
    yield rotator("rotate-now", "internal", "--output", "json")
    yield rotator("tick")
    _propagated(site)
    yield rotator("rotate-now", "internal")
    yield rotator("rotate-now", "internal", "--unsafe-now", "--dry-run")
    yield rotator("rotate-now", "fast", "internal", "--when-ready", "--dry-run")
    yield rotator("status")


def _revocations(rotator: _Shell, site: Site) -> Iterator[str]:
    def kid(keyset: str, state: str) -> str:
        return str(site.keys(keyset, state)[0]["kid"])

    # The kid goes after `--`: one thumbprint in 64 begins with a dash.
    yield _chapter("Revoke")
    yield rotator("revoke", "fast", "a-kid")
    yield rotator("revoke", "--document-leaked", "--", "fast", kid("fast", "current"))
    yield rotator("revoke", "--reason", "laptop stolen", "--", "fast", kid("fast", "current"))
    yield rotator("revoke", "--output", "json", "--", "fast", kid("fast", "old"))
    yield rotator("revoke", "--", "web", kid("web", "current"))
    yield rotator("revoke", "internal", kid("internal", "current"))
    yield rotator("revoke", "internal", kid("internal", "current"), "--document-leaked")
    yield rotator("revoke", "imported", kid("imported", "next"), "--output", "json")
    yield rotator("status", "fast")
    yield rotator("tick")


def _damage(rotator: _Shell, site: Site) -> Iterator[str]:
    yield _chapter("A document that is not rotator's, and one that went away")
    keys = site.folder / "store" / "keys"
    whole = (keys / "internal.json").read_text()
    (keys / "internal.json").write_text("{}")
    yield rotator("status", "internal")
    yield rotator("rotate-now", "internal")
    yield rotator("tick")
    yield rotator("check")
    (keys / "internal.json").write_text(whole)
    (keys / "web.json").unlink()
    yield rotator("tick")
    yield rotator("status", "web")


# -- the daemon --------------------------------------------------------------------------------------------------------


def _daemon(program: str, folder: Path) -> Iterator[str]:
    site = Site(folder, None, keysets=GONE, rotation="5s", propagation="2s", life="1s")
    text = site.config.read_text()
    rotator = _Shell(program, folder, str(site.config))
    rotator("tick")
    site.config.write_text(text.replace(GONE, SHORT))
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config", str(site.config), "run"], stdout=log, stderr=log, cwd=folder, env=_environ()
        )
    try:
        wait_for(site.ready, 30, lambda: site.log[-3000:])
        yield _chapter("The listeners of a daemon")
        yield from _served(site)
        site.config.write_text("[keysets.Web]")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: _told(site, "configuration_refused"), 10, lambda: site.log[-3000:])
        for keyset in ("web", "internal"):
            wait_for(lambda name=keyset: _told(site, "key_retired", name), 40, lambda: site.log[-3000:])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    yield _chapter("The log of a daemon: events, levels and fields")
    yield f"exit {code} after SIGTERM"
    yield from sorted(set(_events(site)))


def _served(site: Site) -> Iterator[str]:
    wait_for(lambda: _ready_but_for_the_one_gone(site), 30)
    addresses = [(site.admin_port, path) for path in ("/healthz", "/readyz", "/nothing")]
    addresses += [(site.jwks_port, path) for path in ("/keysets/web/jwks.json", "/.well-known/jwks.json", "/nothing")]
    for port, path in addresses:
        status, headers, body = _get(f"http://127.0.0.1:{port}{path}")
        yield f"GET {path}\n{status}"
        yield from (f"  {name}: {value}" for name, value in headers if name not in {"Date", "ETag", "Content-Length"})
        # How many keys there are at this moment depends on the moment.
        yield f"  {re.sub(r'(},{.*)(?=}])', '', body)}\n"
    _, _, metrics = _get(f"http://127.0.0.1:{site.admin_port}/metrics")
    told = (line for line in metrics.splitlines() if line.startswith(("rotator_", "# TYPE rotator_")))
    yield "GET /metrics"
    yield from sorted({re.sub(r'(?<==)"[^"]*"|(?<= )[0-9.e+-]+$', "<value>", line) for line in told})
    yield ""


def _ready_but_for_the_one_gone(site: Site) -> bool:
    status, _, body = _get(f"http://127.0.0.1:{site.admin_port}/readyz")
    return status == HTTPStatus.OK and [alarm["keyset"] for alarm in json.loads(body)["alarms"]] == ["gone"]


def _get(url: str) -> tuple[int, list[tuple[str, str]], str]:
    try:
        with urllib.request.urlopen(url, timeout=3) as reply:
            return reply.status, reply.getheaders(), reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, list(error.headers.items()), error.read().decode()


def _lines(site: Site) -> Iterator[dict[str, Any]]:
    for line in site.log.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _told(site: Site, event: str, keyset: str | None = None) -> bool:
    return any(line["event"] == event and line.get("keyset") == keyset for line in _lines(site))


def _events(site: Site) -> Iterator[str]:
    """
    Yield what is the same in each run: what a slow machine adds (a rotation held or late, a race lost) is left out.
    """
    for line in _lines(site):
        if line["event"] in {"rotation_held", "lost_race", "clock_stepped", "alarm_cleared"}:
            continue
        if line["event"] == "alarm" and line["keyset"] != "gone":
            continue
        assert tuple(line)[:3] == FIRST_OF_THE_LOG, line
        fields = " ".join(f"{name}:{_shape(value)}" for name, value in line.items() if name not in FIRST_OF_THE_LOG)
        said = line["reason"] if line["event"] in {"alarm", "key_activated"} else ""
        said = line["detail"] if line["event"] == "configuration_refused" else said
        yield f"{line['level']:7} {line['event']} {fields} {said}".rstrip()


# -- documents ---------------------------------------------------------------------------------------------------------


def _documents(site: Site) -> Iterator[str]:
    for path in sorted(site.folder.rglob("*")):
        name = path.relative_to(site.folder)
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            yield f"{name}/ {mode:04o}"
        elif path.suffix == ".json":
            yield f"{name} {mode:04o}"
            document = json.loads(path.read_text())
            if "steady" in document:
                document["steady"] = _shape(document["steady"])  # how the machine's clocks ran
            if path.parent.name == "jwks":
                del document["version"]  # how often it was saved depends on which steps shared a pass
            yield from _fields(document)
        elif name.name not in {"config.toml", "key.pem"}:
            yield f"{name} {mode:04o}"
    yield ""


def _fields(document: dict[str, Any]) -> Iterator[str]:
    """
    Yield a line for each field, in their order; what is nested is told by dotted names.
    """
    for name, value in document.items():
        if isinstance(value, dict):
            yield from (f"  {name}.{line.lstrip()}" for line in _fields(value))
        elif isinstance(value, list) and value:
            yield from (f"  {name}[{index}]: {json.dumps(inner)}" for index, inner in enumerate(value))
        else:
            yield f"  {name}: {value if name == 'jwks' else json.dumps(value)}"


def _shape(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(sorted({_shape(inner) for inner in value}))}]"
    return type(value).__name__


# -- what varies -------------------------------------------------------------------------------------------------------

_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"
_PEM = r"-----BEGIN {0} KEY-----(?:\\n|\n)(?:[A-Za-z0-9+/=]+(?:\\n|\n))+-----END {0} KEY-----(?:\\n)?"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_PATTERNS = (
    ("private key", _PEM.format("PRIVATE")),
    ("public key", _PEM.format("PUBLIC")),
    ("modulus", r"[A-Za-z0-9_-]{342}"),
    ("secret", r"\b[0-9a-f]{64}\b"),
    ("id", _UUID),
    ("kid", r"\b[0-9a-f]{32}\b|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
)


def _without_what_varies(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "<folder>")
    text = re.sub(_MOMENT, "<moment>", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
    text = re.sub(r"(?<=  )\d+s +(?=signs|usable|publication|retires)", "<age>  ", text)
    text = re.sub(r'"age": "\d+s"', '"age": "<age>"', text)
    text = re.sub(r"AGE +DEADLINE", "AGE  DEADLINE", text)  # the column is as wide as the oldest key's age
    text = re.sub(r"version \d+\.\d+\.\d+\S*", "version <version>", text)
    for word, pattern in _PATTERNS:
        text = re.sub(pattern, _numbered(word), text)
    return text.rstrip() + "\n"


def _numbered(word: str) -> Callable[[re.Match[str]], str]:
    """
    Return what replaces each text by *word* and the number of its first appearance: the same text, the same number.
    """
    seen: dict[str, int] = {}
    return lambda match: f"<{word} {seen.setdefault(match[0], len(seen) + 1)}>"


def _environ() -> dict[str, str]:
    unwanted = {"PYTHONPATH", "COLUMNS", "LINES"}
    kept = {name: value for name, value in Site.environ().items() if name not in unwanted}
    return kept | {"TERMINAL_WIDTH": "", "LC_ALL": "C.UTF-8"}


def _chapter(title: str) -> str:
    return f"# {title}\n"


def main() -> None:
    """Print the transcript of the `rotator` beside this Python, or of the program named."""
    program = sys.argv[1] if len(sys.argv) > 1 else str(Path(sys.executable).with_name("rotator"))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        os.umask(0o022)
        sys.stdout.write(transcript(program, Path(folder).resolve()))


if __name__ == "__main__":
    main()
