"""
How a command asks a person before it does what cannot be undone.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from rotator.cli.output import say

F = TypeVar("F", bound=Callable[..., Any])
MAX_OP_ID = 64


def change_options(command: F) -> F:
    """
    Add `--dry-run`, `--yes`, `--reason` and `--op-id`.
    """
    for option in (
        click.option(
            "--op-id", metavar="UUID", help="A name for this change: a retry with the same one changes nothing."
        ),
        click.option("--reason", default="", metavar="TEXT", help="Why, for the record."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--dry-run", is_flag=True, help="Say what would happen, change nothing, exit as the real thing would."
        ),
    ):
        command = option(command)
    return command


def require_op_id(op_id: str | None) -> None:
    """
    Raise UsageError for an op_id that is empty or too long.
    """
    if op_id is not None and not 1 <= len(op_id) <= MAX_OP_ID:
        raise click.UsageError("--op-id must be 1 to 64 characters; a UUID is best")


def confirm(question: str, lines: Iterable[str], *, yes: bool) -> None:
    """
    Show *lines* and ask *question*, unless *yes*. Raises Abort if the answer is no, UsageError if nobody can be asked.
    """
    for line in lines:
        say(f"  {line}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this needs a person's consent and there is no terminal to ask at; add --yes to give it")
    click.confirm(question, abort=True, err=True)
