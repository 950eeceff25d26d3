"""
Imports point one way, and each foreign library has one door.
"""

import ast
from pathlib import Path

import rotator

PACKAGE = Path(rotator.__file__).parent
LAYERS = (
    {"errors", "secret"},
    {"keys"},
    {"policy"},
    {"lifecycle", "jwk"},
    {"transitions", "codec"},
    {"timeline", "recognition", "ports", "keygen", "alarms", "files"},
    {"memory", "standby", "purge", "view"},
    {"effects"},
    {"watch", "commands"},
    {"reconciler"},
    {"rounds"},
)
DOORS = {
    "hvac": "vault",
    "requests": "vault",
    "redis": "redis_events",
    "apscheduler": "daemon",
    "pydantic": "tables",
    "pydantic_core": "tables",
    "structlog": "logs",
}
# Services need no daemon: what the client imports of these stays in the modules that are imported for it alone.
CLIENT_DOORS = {"redis": ("hints", "redis_state"), "joserfc": ("keys",)}
PURE = ("keys", "policy", "lifecycle", "transitions", "timeline", "jwk", "codec", "recognition")
IMPURE = {"time", "random", "secrets", "os", "socket", "threading", "pathlib"}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_imports_point_one_way() -> None:
    """A module imports only from layers before its own, or beside it."""
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = []
    for name, own in rank.items():
        for imported in imports(PACKAGE / f"{name}.py"):
            if imported.startswith("rotator.") and rank.get(imported.split(".")[1], 99) > own:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_each_library_has_one_door() -> None:
    """hvac, redis, apscheduler, pydantic and structlog are imported where they belong and nowhere else."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        for imported in imports(path):
            library = imported.split(".")[0]
            door = CLIENT_DOORS.get(library) if path.parent.name == "client" else DOORS.get(library)
            if door and not path.stem.startswith(door):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")
    assert wrong == []


def test_the_core_is_pure() -> None:
    """No clock, no randomness, no I/O, and no third party but cryptography's public-key types."""
    wrong = []
    for name in PURE:
        for imported in imports(PACKAGE / f"{name}.py"):
            top = imported.split(".")[0]
            if top in IMPURE or top in DOORS or (top == "cryptography" and name != "jwk"):
                wrong.append(f"{name} imports {imported}")
    assert wrong == []
