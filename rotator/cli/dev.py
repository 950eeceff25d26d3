"""
`rotator dev`: see a whole key life within a minute.
"""

import gc
import signal
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from rotator.cli.exit_codes import Exit
from rotator.daemon.signals import Signals
from rotator.model.times import parse_duration

MIN_LIFE, MAX_LIFE = timedelta(seconds=2), timedelta(hours=1)


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to keep everything; else a new temporary folder.",
)
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long.")
@click.option(
    "--max-token-lifetime",
    "life",
    metavar="DURATION",
    default="5s",
    show_default=True,
    help="How long tokens live; old keys stay as much longer.",
)
def command(folder: Path | None, seconds: float | None, life: str) -> None:
    """
    Run the daemon on embedded parts with periods of seconds, sign and verify real tokens, and name each step. Ctrl-C ends it.
    """
    from rotator.dev import run

    try:
        lifetime = parse_duration(life)
    except ValueError as error:
        raise click.UsageError(f"--max-token-lifetime {error}") from None
    if not MIN_LIFE <= lifetime <= MAX_LIFE:
        raise click.UsageError("--max-token-lifetime must be from 2s to 1h")
    gc.enable()
    signals = Signals()
    signals.end_at(signal.SIGINT, signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="rotator-dev-") as temporary:
        tally = run(folder or Path(temporary), _say, signals, seconds, lifetime)
    signals.ignore()
    for failure in sorted(set(tally.failures)):
        click.echo(f"failed: {failure}", err=True)
    click.echo(f"verified {tally.verified} tokens, {len(tally.failures)} failed")
    raise click.exceptions.Exit(Exit.SOFTWARE if tally.failures else Exit.DONE)


def _say(line: str) -> None:
    click.echo(f"{datetime.now(UTC):%H:%M:%S}  {line}")
