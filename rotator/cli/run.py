"""
`rotator run`: the daemon.
"""

import gc

import click

from rotator.cli.context import Context, pass_context
from rotator.daemon.signals import Signals


@click.command()
@pass_context
def command(context: Context) -> None:
    """
    Run the daemon until SIGTERM or SIGINT. SIGHUP reads the configuration again, and keeps the old one if it is refused.
    """
    # Before anything is read or imported: what is asked from now on is not lost.
    signals = Signals()
    signals.listen()

    from rotator.daemon.main import run
    from rotator.telemetry import logs

    gc.enable()
    settings = context.settings(command_line=False)
    log = logs.configure(settings.log.level, settings.log.format)
    logs.install_hooks(log)
    run(settings, log, lambda: Context(str(settings.path)).settings(command_line=False), signals)
