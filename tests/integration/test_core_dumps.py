"""
Core files of real processes: a command that dies by a signal leaves none, whatever `ulimit` allows.
"""

import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import INTERNAL, PROGRAM, Site, wait_for

SECRET = "5d1f" * 16
PATTERN = Path("/proc/sys/kernel/core_pattern")
WASTEFUL = "import sys, time; secret = sys.stdin.read(); print('ready', flush=True); time.sleep(60)"


def start(folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    """Start a process that may leave a core file in *folder*, and give it the secret."""
    folder.mkdir()
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh", *command],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=Site.environ(),
    )
    assert process.stdin is not None
    process.stdin.write(SECRET.encode())
    process.stdin.close()
    return process


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_an_import_that_dies_leaves_no_secret(tmp_path: Path, number: signal.Signals) -> None:
    """While it waits for a Vault that does not answer, the secret is in its memory; a plain process leaves it."""
    allowed = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0
    if "|" in PATTERN.read_text() or "/" in PATTERN.read_text() or not allowed:
        pytest.skip("core files are off here, or do not go to the working directory")
    with start(tmp_path / "control", sys.executable, "-c", WASTEFUL) as control:
        assert control.stdout is not None
        assert control.stdout.readline() == b"ready\n"
        control.send_signal(number)
        assert control.wait(30) == -number
    left = wait_for(lambda: list((tmp_path / "control").glob("core*")), 10)
    assert SECRET.encode() in left[0].read_bytes()

    with socket.create_server(("127.0.0.1", 0)) as hole:
        site = Site(tmp_path / "site", None, keysets=INTERNAL)
        text = site.config.read_text().partition("[publish]")[2]
        vault = f'[vault]\naddress = "http://127.0.0.1:{hole.getsockname()[1]}"\nauth = "token"\ntoken_file = "token"\n'
        site.config.write_text(f"{vault}\n[publish]{text}")
        (site.folder / "token").write_text("a-token")
        with start(tmp_path / "import", PROGRAM, "--config", str(site.config), "import", "internal") as process:
            hole.settimeout(30)
            asked, _ = hole.accept()
            process.send_signal(number)
            assert process.wait(30) == -number
            asked.close()
    assert list((tmp_path / "import").iterdir()) == []
