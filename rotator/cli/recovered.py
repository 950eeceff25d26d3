"""
What `rotator restore` and `rotator thaw` print.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rotator.cli.output import print_json, say
from rotator.model.times import format_time

if TYPE_CHECKING:
    from rotator.commands.recovery import Done, Plan

F = TypeVar("F", bound=Callable[..., Any])


def above_option(command: F) -> F:
    """
    Add `--above`.
    """
    option = click.option(
        "--above",
        type=click.IntRange(0, 2**53 - 2),
        default=0,
        metavar="SEQUENCE",
        help="The highest sequence that was seen, as a daemon's alarm tells it.",
    )
    return option(command)


def revoked_option(command: F) -> F:
    """
    Add `--revoked`.
    """
    option = click.option(
        "--revoked",
        multiple=True,
        metavar="KID",
        help="A key that was revoked, as a daemon's alarm tells it: it does not come back. May be repeated.",
    )
    return option(command)


def print_plan(plan: "Plan", output: str) -> None:
    """
    Print what would be done.
    """
    if output == "json":
        candidates = [
            {
                "version": found.version,
                "saved_at": format_time(found.at),
                "sequence": found.keyset.sequence if found.keyset else None,
                "current": found.keyset.current.kid if found.keyset and found.keyset.current else "",
                "deleted": found.deleted,
                "trouble": found.trouble,
            }
            for found in plan.remains.candidates
        ]
        result = f"would {plan.step.value}" if plan.step.value != "nothing to do" else plan.step.value
        print_json(
            {
                "keyset": plan.keyset,
                "result": result,
                "version": plan.version,
                "lines": list(plan.lines),
                "candidates": candidates,
            }
        )
        return
    click.echo(f"{plan.keyset}: would {plan.step.value}{f' version {plan.version}' if plan.version else ''}")
    for line in plan.lines:
        click.echo(f"  {line}")


def print_done(done: "Done", output: str) -> None:
    """
    Print what was done.
    """
    if output == "json":
        print_json(
            {
                "keyset": done.keyset,
                "result": done.step.value,
                "version": done.version,
                "sequence": done.sequence,
                "epoch": done.epoch,
                "op_id": done.op_id,
                "current": done.current,
                "lines": list(done.lines),
                "purged": done.purged,
            }
        )
        return
    what = {
        "undelete": f"version {done.version} undeleted",
        "restore": f"version {done.version} restored",
        "accept": f"version {done.version} accepted",
        "create again": "keys given up",
    }.get(done.step.value, done.step.value)
    saved = f"; sequence {done.sequence}; {done.current or 'no key'} signs; op_id {done.op_id}" if done.op_id else ""
    click.echo(f"{done.keyset}: {what}{saved}")
    for line in done.lines:
        click.echo(f"  {line}")
    if not done.purged:
        say("earlier versions are still in the store; the daemon goes on destroying them")
