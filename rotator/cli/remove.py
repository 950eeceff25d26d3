"""
`rotator remove`: drop a keyset for good.
"""

import click

from rotator.cli.confirm import change_options, confirm, require_op_id
from rotator.cli.context import Context, pass_context
from rotator.cli.exit_codes import Exit
from rotator.cli.output import output_option, print_json, say
from rotator.model.times import format_time


@click.command()
@click.argument("keyset")
@click.option(
    "--unsafe-now", is_flag=True, help="Remove it although live tokens need its keys; they fail from then on."
)
@click.option("--no-trace", is_flag=True, help="Leave no gravestone: only when no daemon remembers the keyset.")
@change_options
@output_option
@pass_context
def command(
    context: Context,
    keyset: str,
    *,
    unsafe_now: bool,
    no_trace: bool,
    dry_run: bool,
    yes: bool,
    reason: str,
    op_id: str | None,
    output: str,
) -> None:
    """
    Remove KEYSET from the store for good, with every version, and have every daemon drop it.

    Refused while it is in the configuration, and with exit code 3 while live tokens may need its keys.
    """
    from rotator.commands.remove import note_removal, plan_removal, removal_refused, remove

    require_op_id(op_id)
    if keyset in context.settings().keysets:
        raise click.UsageError(
            f"{keyset} is in the configuration: take [keysets.{keyset}] out of {context.settings().path}, reload every "
            f"daemon (`systemctl reload rotator`), and run `rotator remove {keyset}` again"
        )
    context.any_policy(keyset)
    context.say_target()
    operator = context.operator()
    plan = plan_removal(operator, keyset)
    if plan.safe_at is not None and not unsafe_now:
        if not dry_run:
            note_removal(operator, plan, op_id, reason)
        _print(keyset, "refused", plan.lines, format_time(plan.safe_at), output)
        say(removal_refused(plan, plan.safe_at))
        raise click.exceptions.Exit(Exit.REFUSED)
    if plan.gone and not no_trace:
        _print(keyset, "removed already", (), "", output)
        return
    lines = plan.lines
    if plan.safe_at is not None:
        lines = (
            *lines,
            f"ITS LIVE TOKENS FAIL FROM THEN ON; the last would have lived until {format_time(plan.safe_at)}",
        )
    if dry_run:
        _print(keyset, "would remove", lines, "", output)
        return
    confirm(f"{keyset}: remove it for good?", lines, yes=yes)
    removal = remove(operator, plan, op_id, reason, trace=not no_trace)
    _print(keyset, "removed", (), "", output, removal.op_id)


def _print(keyset: str, result: str, lines: tuple[str, ...], safe_at: str, output: str, op_id: str = "") -> None:
    if output == "json":
        print_json({"keyset": keyset, "result": result, "op_id": op_id, "safe_at": safe_at, "lines": list(lines)})
        return
    click.echo(f"{keyset}: {result}{f'; op_id {op_id}' if op_id else ''}")
    for line in lines:
        click.echo(f"  {line}")
