"""
`rotator rotate-now`: activate the next key now.
"""

import sys
from typing import TYPE_CHECKING

import click

from rotator.cli.context import Context, pass_context, started_at
from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.output import output_option, print_json, print_table, say
from rotator.errors import RotatorError
from rotator.model.times import format_time

if TYPE_CHECKING:
    from rotator.reconcile.operator_effects import Operator

MAX_OP_ID = 64


@click.command()
@click.argument("keysets", nargs=-1, metavar="[KEYSET]...")
@click.option("--all", "every", is_flag=True, help="Rotate every keyset of the configuration.")
@click.option("--when-ready", is_flag=True, help="Where it is not safe yet, leave it to the daemon.")
@click.option("--unsafe-now", is_flag=True, help="Rotate although tokens may fail; the consequence is named first.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal before --unsafe-now.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option(
    "--op-id", metavar="UUID", help="A name for this rotation: a retry with the same one changes nothing twice."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing, exit as the real thing would.")
@output_option
@pass_context
def command(
    context: Context,
    keysets: tuple[str, ...],
    *,
    every: bool,
    when_ready: bool,
    unsafe_now: bool,
    yes: bool,
    reason: str,
    op_id: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """
    Activate the next key of each KEYSET now.

    Refused with exit code 3, and the moment from which it is safe, while verifiers may not have noticed the next key.
    """
    started = started_at()
    if when_ready and unsafe_now:
        raise click.UsageError("--when-ready and --unsafe-now exclude each other: choose one")
    names = _names(context, keysets, every=every)
    if op_id is not None and not 1 <= len(op_id) <= MAX_OP_ID:
        raise click.UsageError("--op-id must be 1 to 64 characters; a UUID is best")
    if op_id is not None and len(names) > 1:
        raise click.UsageError("--op-id names one rotation; give it with one KEYSET")
    from rotator.commands.rotate_now import Result, RotateOptions, rotate_now

    options = RotateOptions(started, op_id, reason, when_ready, unsafe_now, dry_run)
    if not dry_run:
        context.say_target()
    operator = context.operator()
    if unsafe_now and not dry_run:
        _ask(context, operator, names, yes=yes)
    outcomes, worst = [], Exit.DONE
    for name in names:
        try:
            outcome = rotate_now(operator, name, context.policy(name), options)
        except RotatorError as error:
            if len(names) == 1:
                raise
            say(f"rotator: {error}")
            worst = max(worst, exit_code(error))
            continue
        outcomes.append(outcome)
        if outcome.result is Result.REFUSED:
            worst = max(worst, Exit.REFUSED)
            say(f"{name}: refused: {outcome.detail}")
    if output == "json":
        print_json(
            [
                {
                    "keyset": o.keyset,
                    "result": o.result.value,
                    "op_id": o.op_id,
                    "kid": o.kid,
                    "detail": o.detail,
                    "safe_at": format_time(o.safe_at),
                }
                for o in outcomes
            ]
        )
    else:
        print_table(
            [
                {
                    "keyset": o.keyset,
                    "result": o.result.value,
                    "op_id": o.op_id or "-",
                    "kid": o.kid,
                    "detail": o.detail,
                }
                for o in outcomes
            ]
        )
    raise click.exceptions.Exit(worst)


def _names(context: Context, keysets: tuple[str, ...], *, every: bool) -> tuple[str, ...]:
    configured = tuple(context.settings().keysets)
    if every and keysets:
        raise click.UsageError("give KEYSET names or --all, not both")
    for name in keysets:
        context.policy(name)
    if every or (not keysets and len(configured) == 1):
        return configured
    if not keysets:
        raise click.UsageError(f"which keyset? give one or more of {', '.join(configured)}, or --all")
    return tuple(dict.fromkeys(keysets))


def _ask(context: Context, operator: "Operator", names: tuple[str, ...], *, yes: bool) -> None:
    from rotator.commands.diagnosis import believed
    from rotator.commands.rotate_now import consequence, hold_of
    from rotator.model.reasons import HoldReason

    for name in names:
        snapshot = believed(operator.store, operator.loader, name, context.policy(name))
        hold = hold_of(operator, snapshot)
        if hold is None or hold.reason is HoldReason.CLOCK:  # refused whatever the answer
            continue
        text = f"{name}: {hold.reason.value}: {consequence(snapshot, hold)}"
        if yes or not sys.stdin.isatty():
            say(text)
        else:
            click.confirm(f"{text}\nRotate all the same?", abort=True, err=True)
