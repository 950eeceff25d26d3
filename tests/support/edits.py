"""
Every edit of one field of a document: each field, nested ones too, deleted, changed, and one added beside it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from rotator.model.keys import GeneratedKey
from tests.support.publications import pair

STRANGER = 99


def stranger() -> GeneratedKey:
    """Return a key pair that rotator never made."""
    return pair(STRANGER)


def edits(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    Yield the name of each edit, and the document after it.
    """
    for path in _paths(document, ()):
        name = ".".join(str(step) for step in path)
        yield f"delete {name}", _edited(document, path, lambda holder, last: holder.__delitem__(last))
        yield f"change {name}", _edited(document, path, _change)
    for path in ((), *_paths(document, ())):
        if isinstance(_at(document, path), dict | list):
            yield f"add to {'.'.join(str(step) for step in path) or 'the document'}", _added(document, path)


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield (*path, step)
        yield from _paths(below, (*path, step))


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _edited(
    document: dict[str, Any], path: tuple[str | int, ...], act: Callable[[Any, str | int], None]
) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    act(_at(copy, path[:-1]), path[-1])
    return copy


def _change(holder: Any, last: str | int) -> None:
    value = holder[last]
    if isinstance(value, str):
        holder[last] = _another_text(value)
    elif isinstance(value, int):
        holder[last] = value + 1
    elif isinstance(value, list):
        holder[last] = [*value, *value[:1]] if value else ["x"]
    else:
        holder[last] = {**value, **dict.fromkeys(list(value)[:1], "x")} if value else "x"


def _another_text(value: str) -> str:
    """
    Return a text of the same kind: another key for a key, another number for a number.
    """
    if value.startswith("-----BEGIN PRIVATE"):
        private = stranger().private
        assert private is not None
        return private.reveal()
    if value.startswith("-----BEGIN PUBLIC"):
        return stranger().material.pem  # type: ignore[union-attr]
    if value.startswith('{"keys":'):
        return value.replace('"n":"', '"n":"AQ', 1) if '"n":"' in value else '{"keys":[{}]}'
    if value.isdecimal():
        return str(int(value) + 1)
    if value.endswith("Z") and "T" in value:
        return "2031" + value[4:]
    return value[:-1] + ("0" if value[-1:] != "0" else "1") if value else "x"


def _added(document: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    holder = _at(copy, path)
    if isinstance(holder, list):
        holder.append(holder[0] if holder else "x")
    else:
        holder["zz"] = "added"
    return copy
