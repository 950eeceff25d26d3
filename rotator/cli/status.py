"""
`rotator status`: keys, states, ages and deadlines, from the store; alarms, from the daemon on this machine.
"""

from collections.abc import Iterator
from datetime import timedelta

import click

from rotator.cli.context import Context, pass_context
from rotator.cli.daemon import ask_daemon
from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.output import output_option, print_json, print_table, say
from rotator.commands.diagnosis import examine
from rotator.commands.status import KeyReport, KeysetReport
from rotator.errors import RotatorError
from rotator.model.keys import State
from rotator.model.reasons import CONTRADICTIONS
from rotator.model.times import format_time


@click.command()
@click.argument("keyset", required=False)
@output_option
@pass_context
def command(context: Context, keyset: str | None, output: str) -> None:
    """
    Show the keys of KEYSET, or of every keyset: their states and deadlines, what is held, overdue or frozen, what comes next.
    """
    settings = context.settings()
    names = [keyset] if keyset else list(settings.keysets)
    if keyset:
        context.policy(keyset)
    store, worst = context.store(), Exit.DONE
    found: dict[str, KeysetReport | RotatorError] = {}
    for name in names:
        policy = context.policy(name)
        try:
            snapshot = examine(store, name, policy)
        except RotatorError as error:
            worst = max(worst, exit_code(error))
            found[name] = error
            continue
        found[name] = KeysetReport.of(snapshot.keyset, policy, snapshot.now)
    alarms = ask_daemon(settings.admin_http, ["", *names])
    worst = max(worst, Exit.REFUSED if _frozen(alarms) else Exit.DONE)
    if output == "json":
        print_json({"keysets": [_as_json(name, report) for name, report in found.items()], "daemon": alarms})
    else:
        for name, report in found.items():
            _print(name, report)
        _print_alarms(alarms)
    raise click.exceptions.Exit(worst)


def _as_json(name: str, report: KeysetReport | RotatorError) -> dict[str, object]:
    """
    Return a report as JSON values, times as RFC 3339.
    """
    if isinstance(report, RotatorError):
        return {"keyset": name, "trouble": str(report)}
    return {
        "keyset": name,
        "algorithm": report.algorithm.value,
        "epoch": report.epoch,
        "sequence": report.sequence,
        "now": format_time(report.now),
        "rotates_at": format_time(report.rotates_at),
        "held": report.held.reason.value if report.held else "",
        "rotate_now": report.hold.reason.value if report.hold else "safe",
        "rotate_now_safe_at": format_time(report.hold.until if report.hold else report.now),
        "overdue_seconds": int(report.overdue.total_seconds()),
        "requested": report.requested,
        "keys": [
            {
                "kid": key.kid,
                "state": key.state.value,
                "algorithm": key.algorithm.value,
                "created_at": format_time(key.created_at),
                "age": _age(key.age),
                "deadline": _deadline(key),
            }
            for key in report.keys
        ],
        "revoked": [
            {"kid": r.kid, "revoked_at": format_time(r.revoked_at), "until": format_time(r.until)}
            for r in report.revoked
        ],
        "timeline": [{"at": format_time(m.at), "step": m.step, "kid": m.kid} for m in report.timeline],
    }


def _deadline(key: KeyReport) -> str:
    match key.state:
        case State.NEXT:
            return f"usable at {format_time(key.at)}" if key.at else "publication not confirmed"
        case State.CURRENT:
            return f"signs since {format_time(key.at)}"
        case State.OLD:
            return f"retires at {format_time(key.at)}"


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _frozen(daemon: dict[str, object]) -> bool:
    """
    Whether the daemon contradicts what the store shows: it remembers more than any command can see.
    """
    alarms = daemon.get("alarms")
    return isinstance(alarms, list) and any(alarm["reason"] in CONTRADICTIONS for alarm in alarms)


def _print(name: str, report: KeysetReport | RotatorError) -> None:
    if isinstance(report, RotatorError):
        say(f"{name}: {str(report).removeprefix(f'{name}: ')}")
        return
    click.echo("  ".join(_headline(report)))
    print_table(
        [
            {
                "state": key.state.value,
                "kid": key.kid,
                "algorithm": key.algorithm.value,
                "age": _age(key.age),
                "deadline": _deadline(key),
            }
            for key in report.keys
        ]
    )
    for step in report.timeline:
        click.echo(f"  {format_time(step.at)}  {step.step}  {step.kid}")
    click.echo()


def _headline(report: KeysetReport) -> Iterator[str]:
    yield f"{report.name} ({report.algorithm}, sequence {report.sequence})"
    yield f"rotates at {format_time(report.rotates_at)}" if report.rotates_at else "no rotation planned"
    if report.held:
        yield f"HELD: {report.held.reason.value}"
    if overdue := int(report.overdue.total_seconds()):
        yield f"OVERDUE by {overdue} s"
    if report.requested:
        yield f"rotation requested ({report.requested})"
    if report.hold is None:
        yield "rotate-now: safe"
    else:
        until = f" until {format_time(report.hold.until)}" if report.hold.until else ""
        yield f"rotate-now: {report.hold.reason.value}{until}"


def _print_alarms(daemon: dict[str, object]) -> None:
    if not daemon["reachable"]:
        click.echo("daemon: not reachable on this machine")
        return
    click.echo(f"daemon: {'ready' if daemon['ready'] else 'NOT READY'}")
    if daemon.get("redis", "ok") != "ok":
        click.echo(f"redis: {daemon['redis']} (rotation goes on without it)")
    alarms = daemon["alarms"]
    assert isinstance(alarms, list)  # noqa: S101 - made by ask_daemon
    for alarm in alarms:
        concerns = f"{alarm['keyset']}: " if alarm["keyset"] else ""
        click.echo(f"ALARM {concerns}{alarm['reason']}: {alarm['detail']}")
