"""
A wall clock for other processes that a test moves while they run.
"""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

from tests.support.servers.vault import VaultServer
from tests.support.site import Site

_SOURCE = Path(__file__).with_name("clock_shim.c")
_FLAGS = ("-shared", "-fPIC", "-O2", "-Wall", "-ldl", "-lm")


class ShiftedClock:
    """
    The wall clock of the processes that are started with `environ`: that of the machine, and `shift` seconds.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "clock"
        self.set(0.0)
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_SHIM": str(self._file)}

    def set(self, shift: float, *, suspended: float = 0.0) -> None:
        """Step to *shift* seconds beside the machine's clock; *suspended* seconds were slept through besides."""
        data = struct.pack("dd", shift + suspended, suspended)
        if not self._file.exists():
            self._file.write_bytes(data)
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)


def compiler() -> str | None:
    """Return the C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile the shim into *folder*, and return it."""
    library = folder / "clock_shim.so"
    command = [str(compiler()), str(_SOURCE), "-o", str(library), *_FLAGS]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


class ShiftedSite(Site):
    """
    A site whose processes go by a wall clock of their own, `clock`; a command may be given another one.
    """

    def __init__(self, library: Path, folder: Path, vault: VaultServer | None = None, **options: Any) -> None:
        super().__init__(folder, vault, **options)
        self.library = library
        self.clock = ShiftedClock(library, folder / "shim")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a daemon that logs into the site's folder."""
        with (self.folder / "daemon.log").open("ab") as log:
            environ = self.environ(**self.clock.environ)
            return subprocess.Popen(self.command("run"), stdout=log, stderr=log, env=environ)

    def run_at(self, shift: float, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command whose clock is *shift* seconds beside the machine's."""
        clock = ShiftedClock(self.library, self.folder / "other")
        clock.set(shift)
        return self.run(*arguments, **clock.environ)

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """Return the log lines of these events."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] in events]

    def faults(self) -> list[str]:
        """Return what the active alarms say."""
        _, body = self.get("/readyz", admin=True)
        return [alarm["detail"] for alarm in json.loads(body)["alarms"]] if body else []
