"""
The command line: a group of commands, each imported only when it is used.
"""

import gc
import sys
from typing import NoReturn

import click

from rotator import __version__
from rotator.cli.context import Context, run_command

COMMANDS = {
    "run": ("run", "Run the daemon."),
    "reload": ("reload", "Let the daemon read its configuration again."),
    "rotate-now": ("rotate_now", "Activate the next key now."),
    "revoke": ("revoke", "Take a compromised key out at once."),
    "import": ("import_key", "Make an existing secret or private key current."),
    "restore": ("restore", "Bring an earlier version of a keyset back."),
    "thaw": ("thaw", "Accept what the store holds of a keyset, nothing included."),
    "remove": ("remove", "Drop a keyset for good."),
    "status": ("status", "Show keys, states, ages and deadlines."),
    "tick": ("tick", "Make one pass over every keyset and exit."),
    "check": ("check", "Prove configuration, Vault, Redis, clock and files."),
    "policy": ("policy", "Print a least-privilege Vault policy."),
    "jwks": ("jwks", "Print the published JWKS."),
    "generate": ("generate", "Print a strong secret."),
    "dev": ("dev", "Run everything on this machine, with tokens signed and verified."),
}

HELP = ("-h", "--help")


class LazyGroup(click.Group):
    """
    A group whose commands are modules of this package, each with a function named `command`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        Return the names in the order an operator meets them.
        """
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        Import the module of a command.
        """
        del ctx
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"rotator.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the table of commands without importing any of them.
        """
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": list(HELP)})
@click.option(
    "--config",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="The configuration; else $ROTATOR_CONFIG, ./config.toml, /etc/rotator/config.toml.",
)
@click.version_option(__version__, prog_name="rotator")
@click.pass_context
def group(ctx: click.Context, config: str | None) -> None:
    """
    Keep signing keys and shared secrets fresh without one token failing.
    """
    ctx.obj = Context(config)


def main() -> NoReturn:
    """
    Run the command line and exit: 0 done or nothing to do, 2 usage, 3 refused as unsafe, else a code of sysexits.h.
    """
    # A command ends before garbage is worth collecting; `run` and `dev` switch it on again.
    gc.disable()
    asks_for_help = len(sys.argv) > 1 and sys.argv[1] in HELP
    if not asks_for_help:  # which holds no secret, and starts the quicker without this
        from rotator.cli.core_dumps import no_core_dumps

        no_core_dumps()
    run_command(group)
