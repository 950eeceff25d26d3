"""
`rotator run`: the daemon.
"""

import gc
import os
import sys

import click

from rotator.cli.context import Context, pass_context


@click.command()
@pass_context
def command(context: Context) -> None:
    """
    Run the daemon until SIGTERM or SIGINT. SIGHUP reads the configuration again, and keeps the old one if it is faulty.
    """
    from rotator.config.load import warnings
    from rotator.daemon.main import run
    from rotator.telemetry import logs

    gc.enable()
    settings = context.settings(command_line=False)
    log = logs.configure(settings.log.level, settings.log.format)
    logs.install_hooks(log)
    for warning in warnings(settings):
        log.warning("configuration", detail=warning)
    if run(settings, log, lambda: Context(str(settings.path)).settings(command_line=False)):
        # The process replaces itself: systemd sees the same main PID, and no part keeps the old configuration.
        os.execv(sys.executable, [sys.executable, "-m", "rotator", "--config", str(settings.path), "run"])  # noqa: S606
