"""
`rotator tick`: one pass, for a systemd timer or a CronJob.
"""

from collections.abc import Mapping

import click

from rotator.cli.context import Context, pass_context
from rotator.cli.exit_codes import Exit
from rotator.cli.output import output_option, print_json, say

# The code for each alarm, by the words of its reason; the others may be gone with the next pass.
ALARMS: Mapping[str, Exit] = {
    "store unavailable": Exit.UNAVAILABLE,
    "store denied": Exit.DENIED,
    "vault token not renewed": Exit.DENIED,
    "keysets not listed": Exit.DENIED,
    "state_dir not writable": Exit.DENIED,
    "frozen": Exit.REFUSED,
    "document edited": Exit.REFUSED,
    "publication not confirmed": Exit.REFUSED,
    "publisher failed": Exit.REFUSED,
    "private key published": Exit.REFUSED,
    "not in the configuration": Exit.CONFIG,
    "invariant": Exit.SOFTWARE,
    "internal error": Exit.SOFTWARE,
}


@click.command()
@output_option
@pass_context
def command(context: Context, output: str) -> None:
    """
    Look at every keyset once, do what is due, and exit: 0, or the code of the worst trouble met.

    What could not be published or confirmed is tried once more, a second later. It is the daemon's pass: it uses
    state_dir, and publishes the JWKS file when it gets its lock. publish.http is ignored.
    """
    from concurrent.futures import ThreadPoolExecutor

    from rotator.daemon.one_pass import one_pass

    settings = context.settings()
    with ThreadPoolExecutor(settings.daemon.workers) as workers:
        passed = one_pass(settings, context.log, workers)
    alarms = passed.alarms.active()
    codes = {ALARMS.get(alarm.reason, Exit.TEMPORARY) for alarm in alarms}
    worst = Exit.SOFTWARE if Exit.SOFTWARE in codes else max(codes, default=Exit.DONE)
    seen = {tracker.name: tracker.status.keyset.sequence for tracker in passed.queue.trackers if tracker.status}
    if output == "json":
        print_json(
            {
                "sequences": seen,
                "alarms": [{"keyset": a.keyset, "reason": a.reason.value, "detail": a.detail} for a in alarms],
            }
        )
    else:
        for name, sequence in seen.items():
            click.echo(f"{name}: sequence {sequence}")
        if not alarms:
            say("done")
    raise click.exceptions.Exit(worst)
