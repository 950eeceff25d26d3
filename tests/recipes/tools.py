"""
Pinned libraries for recipes in other languages, fetched once by ordinary clients into a cache outside the tree.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def jose() -> Path | None:
    """
    Return the folder that holds node_modules, None without node, or if it cannot be filled.
    """
    if not all(map(shutil.which, ("node", "npm"))):
        return None
    return _fetched("node", ("package.json", "package-lock.json"), ["npm", "ci", "--no-audit", "--no-fund"])


def jars() -> Path | None:
    """
    Return the folder of the jars, None without a JDK and Maven, or if it cannot be filled.
    """
    if not all(map(shutil.which, ("java", "javac", "mvn"))):
        return None
    return _fetched("java", ("pom.xml",), ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"])


def go_modules() -> Path | None:
    """
    Return the folder of go.mod once its modules are in Go's own cache; None without Go, or if they cannot be had.
    """
    if shutil.which("go") is None:
        return None
    return _fetched("go", ("go.mod", "go.sum"), ["go", "mod", "download"])


def _fetched(kind: str, files: Sequence[str], command: Sequence[str]) -> Path | None:
    """
    Run *command* on *files* in a folder of the cache, unless that was done; under a lock, for two runs may meet.
    """
    digest = hashlib.sha256(b"".join((HERE / kind / name).read_bytes() for name in files)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rotator-test-servers" / f"recipes-{kind}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "done").exists():
            return folder
        for name in files:
            shutil.copy(HERE / kind / name, folder)
        print(f"fetching what the {kind} recipes need, once, into {folder}", flush=True)
        with (folder / "log").open("wb") as log:
            done = subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, timeout=500, check=False)
        if done.returncode != 0:
            return None
        (folder / "done").touch()
        return folder
