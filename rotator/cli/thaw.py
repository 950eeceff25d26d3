"""
`rotator thaw`: accept what the store holds of a keyset, nothing included.
"""

import click

from rotator.cli.confirm import change_options, confirm, require_op_id
from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option
from rotator.cli.recovered import above_option, print_done, print_plan, revoked_option


@click.command()
@click.argument("keyset")
@click.option("--anew", is_flag=True, help="Give up its keys, whatever is there: all its live tokens fail.")
@above_option
@revoked_option
@change_options
@output_option
@pass_context
def command(
    context: Context,
    keyset: str,
    *,
    anew: bool,
    above: int,
    revoked: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    reason: str,
    op_id: str | None,
    output: str,
) -> None:
    """
    Accept what the store holds of KEYSET, whatever a daemon saw before: it shows what differs, and asks.

    Where there is nothing, the daemon creates the keyset again with new keys; all live tokens of the former ones fail.
    """
    from rotator.commands.recovery import RecoverOptions, Step
    from rotator.commands.thaw import plan_thaw, thaw

    require_op_id(op_id)
    policy, options = context.any_policy(keyset), RecoverOptions(reason, op_id, above, revoked)
    context.say_target()
    operator = context.operator()
    plan = plan_thaw(operator, keyset, policy, options, anew=anew)
    if dry_run:
        print_plan(plan, output)
        return
    if plan.step is not Step.NOTHING:
        question = "accept it as it is" if plan.step is Step.ACCEPT else "give up its keys and create it again"
        confirm(f"{keyset}: {question}?", plan.lines, yes=yes)
    print_done(thaw(operator, plan, policy, options), output)
