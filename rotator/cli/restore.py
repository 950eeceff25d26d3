"""
`rotator restore`: bring an earlier version of a keyset back.
"""

import click

from rotator.cli.confirm import change_options, confirm, require_op_id
from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option
from rotator.cli.recovered import above_option, print_done, print_plan, revoked_option


@click.command()
@click.argument("keyset")
@click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="Which; else the newest that passes all checks."
)
@above_option
@revoked_option
@change_options
@output_option
@pass_context
def command(
    context: Context,
    keyset: str,
    *,
    version: int | None,
    above: int,
    revoked: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    reason: str,
    op_id: str | None,
    output: str,
) -> None:
    """
    Bring back the keys of KEYSET from a version in the store that survives, after an edit, a deletion or a rollback.

    It is saved again, above every sequence that was seen, and every other version is destroyed. What was revoked or
    retired since does not come back.
    """
    from rotator.commands.recovery import RecoverOptions, Step
    from rotator.commands.restore import plan_restore, restore

    require_op_id(op_id)
    policy, options = context.any_policy(keyset), RecoverOptions(reason, op_id, above, revoked)
    context.say_target()
    operator = context.operator()
    plan = plan_restore(operator, keyset, version, options)
    if dry_run:
        print_plan(plan, output)
        return
    if plan.step is not Step.NOTHING:
        confirm(f"{keyset}: {plan.step.value} version {plan.version}?", plan.lines, yes=yes)
    print_done(restore(operator, plan, policy, options), output)
