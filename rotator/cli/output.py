"""
What commands print: a table for people, JSON for programs, warnings to stderr.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class StderrLog:
    """
    The log of a command: steps are silent, warnings and alarms go to stderr, one line each.
    """

    def debug(self, event: str, **fields: object) -> None:
        """
        Say nothing.
        """

    def info(self, event: str, **fields: object) -> None:
        """
        Say nothing: the command prints what it did.
        """

    def warning(self, event: str, **fields: object) -> None:
        """
        Print the event to stderr.
        """
        said = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None))
        say(f"{event}: {said}")

    error = warning
    exception = warning


def output_option(command: F) -> F:
    """
    Add `--output table|json`.
    """
    option = click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people, or for programs.",
    )
    return option(command)


def say(text: str) -> None:
    """
    Print *text* to stderr, redacted.
    """
    from rotator.telemetry.redaction import redact

    click.echo(redact(text), err=True)


def print_json(value: object) -> None:
    """
    Print *value* as one JSON document.
    """
    click.echo(json.dumps(value, indent=2))


def print_table(rows: list[Mapping[str, str]]) -> None:
    """
    Print rows of the same columns, aligned.
    """
    if not rows:
        return
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name.upper() for name in names}, *rows):
        click.echo("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())
