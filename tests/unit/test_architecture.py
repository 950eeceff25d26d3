"""
The shape of the house: rooms and floors counted from the imports, contracts that fail when broken, documents that hold.

A room is a file or folder at the top level of `rotator/`; the floors are the rooms on the longest chain of imports.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rotator.lifecycle.guard import INVARIANTS, rule_of

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rotator"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}
LAYERS: list[str] = next(contract["layers"] for contract in CONTRACTS.values() if contract["type"] == "layers")
MODULES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
MAX_ROOMS, MAX_FLOORS = 20, 10
MAX_LINES = 300
MAX_SHELL = 250
MAX_WIDTH = 120
MIN_PURPOSE = 20


def room_of(module: str) -> str | None:
    """Return the room of a dotted name, None for what is not in a room of ours."""
    parts = module.split(".")
    return parts[1] if parts[0] == "rotator" and len(parts) > 1 and parts[1] != "__version__" else None


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms() -> dict[str, set[str]]:
    """Return for each room those that it imports from."""
    found: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        here = room_of(name.replace("/", "."))
        if here is None or here == "__init__":
            continue
        there = {room for module in imported(path) if (room := room_of(module)) is not None}
        found.setdefault(here, set()).update(there - {here})
    return found


def test_there_are_few_rooms() -> None:
    """Few enough to know them all; a new one is a decision."""
    assert 0 < len(rooms()) <= MAX_ROOMS, sorted(rooms())


def test_rooms_stand_on_few_floors_and_in_no_circle() -> None:
    """The longest chain of imports from room to room."""
    graph, heights = rooms(), {}

    def height(room: str, above: tuple[str, ...]) -> int:
        assert room not in above, f"a circle: {' -> '.join((*above, room))}"
        if room not in heights:
            heights[room] = 1 + max((height(below, (*above, room)) for below in graph[room]), default=0)
        return heights[room]

    assert max(height(room, ()) for room in graph) <= MAX_FLOORS, heights


def test_no_room_imports_upward() -> None:
    """In the order that pyproject.toml lists, and every room is in that list."""
    graph = rooms()
    assert set(graph) - {"__main__"} == set(LAYERS)
    upward = [
        f"{room} -> {other}"
        for room, others in graph.items()
        for other in others
        if room != "__main__" and LAYERS.index(other) <= LAYERS.index(room)
    ]
    assert not upward


@pytest.mark.parametrize("place", ["rotator/__init__.py", "docs/architecture.md"])
def test_every_room_is_on_the_map(place: str) -> None:
    """Whoever looks for the door of a room finds it in the package's docstring, and in the page on the architecture."""
    text = (ROOT / place).read_text()
    missing = [room for room in LAYERS if not re.search(rf"\b{room}\b", text)]
    assert not missing


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_says_its_purpose(module: str) -> None:
    """What does not fit into 300 lines does two things; the first sentence says which one thing it is."""
    text = MODULES[module].read_text()
    shell = module in {"rotator/reconcile/effects", "rotator/reconcile/reconciler"}
    assert len(text.splitlines()) <= (MAX_SHELL - 1 if shell else MAX_LINES)
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no docstring"
    first = docstring.split("\n\n")[0]
    assert len(first) >= MIN_PURPOSE
    assert first[-1] in ".:"


def test_no_two_modules_have_the_same_purpose() -> None:
    """The first sentences tell the modules apart."""
    firsts = [(ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0] for path in MODULES.values()]
    assert sorted({first for first in firsts if firsts.count(first) > 1}) == []


# -- contracts ---------------------------------------------------------------------------------------------------------


def wrong_import(contract: Mapping[str, Any]) -> tuple[str, str]:
    """Return the module and what it must not import, for one contract."""
    match contract["type"]:
        case "layers":
            return contract["layers"][-1], f"rotator.{contract['layers'][0]}"
        case "forbidden":
            return contract["source_modules"][0].removeprefix("rotator."), contract["forbidden_modules"][0]
        case "protected":
            return "dev", contract["protected_modules"][0]
    raise AssertionError(f"no wrong import is known for a contract of the type {contract['type']}")


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the copy of the package in *folder*."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package and its contracts."""
    shutil.copytree(PACKAGE, tmp_path / "rotator", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(house: Path) -> None:
    """Every one of them, for the package as it is."""
    done = linted(house)
    assert done.returncode == 0, done.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_wrong_import_breaks_its_contract(house: Path, name: str) -> None:
    """A contract that cannot fail holds nothing: one import is put the wrong way, and import-linter must say so."""
    module, wrong = wrong_import(CONTRACTS[name])
    path = house / "rotator" / module
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    path.write_text(f"{path.read_text()}\n\nimport {wrong}\n")

    done = linted(house)

    assert done.returncode == 1, done.stdout
    assert f"{name} BROKEN" in done.stdout
    assert re.search(rf"rotator\.{module} -> {re.escape(wrong)}", done.stdout.partition("Broken contracts")[2])


# -- documents ---------------------------------------------------------------------------------------------------------


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page; its tables and the documents shown as JSON are as wide as they are."""
    fence = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            fence = line if fence is None else None
        if fence != "```json" and not line.startswith("|"):
            yield number, line


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = (line.lstrip("#").strip().lower() for _, line in prose(page) if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_lines_of_documents_fit_a_screen(page: Path) -> None:
    """At most 120 characters."""
    assert [f"{number}: {len(line)}" for number, line in prose(page) if len(line) > MAX_WIDTH] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading of it."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(line for _, line in prose(page)).replace("\n", " ")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in slugs(found)):
            dead.append(target)
    assert dead == []


def test_the_guarantees_are_those_that_the_guard_holds() -> None:
    """The page lists the invariants in the guard's order and words: neither may promise more than the other."""
    section = (ROOT / "docs" / "guarantees.md").read_text().partition("## Invariants")[2].partition("\n## ")[0]
    listed = [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]
    assert listed == [rule_of(invariant) for invariant in INVARIANTS]
