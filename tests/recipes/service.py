"""
A recipe at work: a process of its own that signs and verifies when asked.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import rotator
from tests.recipes.page import recipe
from tests.support.site import Site

HERE = Path(__file__).parent


class Service:
    """
    A process that answers each line with one line: `ok ...`, or `refused` and why.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    @property
    def log(self) -> str:
        """
        What it wrote to stderr.
        """
        return self._log.read_text()

    def ask(self, question: str) -> str:
        """
        Return the answer, whatever it is.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer.startswith(("ok ", "refused")), answer + self._log.read_text()
        return answer

    def get(self, question: str) -> str:
        """
        Return what follows `ok`.
        """
        answer = self.ask(question)
        assert answer.startswith("ok "), answer + self.log
        return answer.removeprefix("ok ")

    def accepts(self, token: str) -> bool:
        """
        Whether the token is accepted, as one about Alice.
        """
        answer = self.ask(f"verify {token}")
        assert answer == "ok alice" or answer.startswith("refused"), answer
        return answer == "ok alice"


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Service]:
    """
    Run a service in *folder*, with *environ* beside what this process has; end it afterwards.
    """
    log = folder / "service.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=Site.environ(**environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        yield Service(process, log)
    finally:
        process.kill()
        process.communicate()


def python(
    name: str, folder: Path, environ: Mapping[str, str], more: str = ""
) -> contextlib.AbstractContextManager[Service]:
    """
    Run a recipe in Python, or none; *more* is what the service does with it.
    """
    folder.mkdir(exist_ok=True)
    (folder / "recipe.py").write_text(f"{recipe(name) if name else ''}\n\n{more}")
    return running([sys.executable, str(HERE / "driver.py"), "recipe.py"], folder, import_path() | environ)


def import_path() -> dict[str, str]:
    """
    Return the environment in which another Python imports the rotator that is tested here.
    """
    return {"PYTHONPATH": str(Path(rotator.__file__).parents[1])}


def node(
    name: str, modules: Path, folder: Path, environ: Mapping[str, str]
) -> contextlib.AbstractContextManager[Service]:
    """
    Run a recipe in node.
    """
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules / "node_modules")
    (folder / "recipe.mjs").write_text(recipe(name))
    shutil.copy(HERE / "node" / "driver.mjs", folder)
    return running(["node", "driver.mjs"], folder, environ)


def go(name: str, folder: Path, environ: Mapping[str, str]) -> contextlib.AbstractContextManager[Service]:
    """
    Build and run a recipe in Go, a module of its own.
    """
    folder.mkdir()
    for file in ("go.mod", "go.sum", "main.go"):
        shutil.copy(HERE / "go" / file, folder)
    (folder / "recipe.go").write_text(recipe(name))
    # Not `go run`: that would leave its child running.
    subprocess.run(["go", "build", "-mod=readonly", "-buildvcs=false", "-o", "service", "."], cwd=folder, check=True)
    return running([str(folder / "service")], folder, environ)


def java(
    which: str, jars: Path, folder: Path, environ: Mapping[str, str]
) -> contextlib.AbstractContextManager[Service]:
    """
    Compile and run the recipes in Java; *which* of them answers.
    """
    folder.mkdir()
    (folder / "Tokens.java").write_text(recipe("java-nimbus"))
    (folder / "Decoders.java").write_text(recipe("java-spring"))
    shutil.copy(HERE / "java" / "Driver.java", folder)
    classes = os.pathsep.join([str(folder), *map(str, sorted((jars / "jars").glob("*.jar")))])
    subprocess.run(["javac", "-cp", classes, "Driver.java", "Tokens.java", "Decoders.java"], cwd=folder, check=True)
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return running(["java", *quick, "-cp", classes, "Driver", which], folder, environ)
