"""
`rotator revoke`: a key is compromised.
"""

import re

import click

from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option, print_json, say
from rotator.model.keys import Kid

_THUMBPRINT = re.compile(r"-[A-Za-z0-9_-]{42}")


class KidCommand(click.Command):
    """
    A command that takes an RFC 7638 thumbprint as an argument, though one in 64 begins like an option.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """
        Put such thumbprints behind `--`, in their order.
        """
        if "--" not in args:
            kids = [arg for arg in args if _THUMBPRINT.fullmatch(arg)]
            args = [*(arg for arg in args if arg not in kids), *(["--", *kids] if kids else [])]
        return super().parse_args(ctx, args)


@click.command(cls=KidCommand)
@click.argument("keyset")
@click.argument("kid")
@click.option(
    "--reason",
    default="compromised",
    show_default=True,
    metavar="TEXT",
    help="Why, kept beside the kid in the signing document.",
)
@click.option(
    "--document-leaked",
    is_flag=True,
    help="HMAC: the whole document was read, so revoke current and next too and sign with a fresh secret.",
)
@output_option
@pass_context
def command(context: Context, keyset: str, kid: str, *, reason: str, document_leaked: bool, output: str) -> None:
    """
    Take KID out of KEYSET at once and put it on the deny-list; if it was current, the next key signs from now on.

    Prints what stays exposed, and until when.
    """
    from rotator.commands.revoke import revoke

    policy = context.policy(keyset)
    context.say_target()
    exposure = revoke(context.operator(), keyset, policy, Kid(kid), reason, document_leaked=document_leaked)
    purged = (
        ""
        if exposure.purged
        else f"the material of {kid} is still in old versions of the store; the daemon goes on destroying it"
    )
    if output == "json":
        print_json(
            {
                "keyset": keyset,
                "revoked": list(exposure.kids),
                "current": exposure.current,
                "op_id": exposure.op_id,
                "exposed": list(exposure.lines),
                "purged": exposure.purged,
            }
        )
        return
    click.echo(f"{keyset}: revoked {', '.join(exposure.kids)}; {exposure.current} signs; op_id {exposure.op_id}")
    for line in exposure.lines:
        click.echo(f"  {line}")
    if purged:
        say(purged)
