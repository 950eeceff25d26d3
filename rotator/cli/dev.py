"""
`rotator dev`: see a whole key life within a minute.
"""

import gc
import signal
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from rotator.cli.base import Exit


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to keep everything; else a new temporary folder.",
)
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long.")
def command(folder: Path | None, seconds: float | None) -> None:
    """
    Run the daemon on embedded parts with periods of seconds, sign and verify real tokens, and name each step. Ctrl-C ends it.
    """
    from rotator.dev import run

    gc.enable()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    with tempfile.TemporaryDirectory(prefix="rotator-dev-") as temporary:
        tally = run(folder or Path(temporary), _say, stop, seconds)
    for failure in sorted(set(tally.failures)):
        click.echo(f"failed: {failure}", err=True)
    click.echo(f"verified {tally.verified} tokens, {len(tally.failures)} failed")
    raise click.exceptions.Exit(Exit.SOFTWARE if tally.failures else Exit.DONE)


def _say(line: str) -> None:
    click.echo(f"{datetime.now(UTC):%H:%M:%S}  {line}")
