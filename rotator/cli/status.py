"""
`rotator status`: keys, states, ages and deadlines, from the store; alarms, from the daemon on this machine.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import click

from rotator.cli.context import Context, pass_context
from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.output import output_option, print_json, print_table, say
from rotator.errors import RotatorError
from rotator.lifecycle.holds import GOOD, activation_hold, due_at, overdue
from rotator.lifecycle.timeline import timeline
from rotator.model.keys import CurrentKey, Key, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.times import format_time
from rotator.reconcile.snapshot import load

MILESTONES = 8


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
    found: list[dict[str, object]] = []
    for name in names:
        policy = context.policy(name)
        try:
            snapshot = load(store, name, policy)
        except RotatorError as error:
            worst = max(worst, exit_code(error))
            found.append({"keyset": name, "trouble": str(error)})
            continue
        found.append(describe(snapshot.keyset, policy, snapshot.now))
    alarms = _alarms(settings.admin_http, names)
    if output == "json":
        print_json({"keysets": found, "daemon": alarms})
    else:
        for entry in found:
            _print(entry)
        _print_alarms(alarms)
    raise click.exceptions.Exit(worst)


def describe(keyset: Keyset, policy: Policy, now: datetime) -> dict[str, object]:
    """
    Return what there is to say of a keyset at *now*: JSON values only, times as RFC 3339, no key material.
    """
    due = due_at(keyset, policy)
    late = overdue(keyset, policy, now)
    hold = activation_hold(keyset, policy, GOOD, now)
    return {
        "keyset": keyset.name,
        "algorithm": keyset.algorithm.value,
        "epoch": keyset.epoch,
        "sequence": keyset.sequence,
        "now": format_time(now),
        "rotates_at": format_time(due),
        "held": hold.reason.value if hold and due and now >= due else "",
        "rotate_now": "safe" if hold is None else hold.reason.value,
        "rotate_now_safe_at": format_time(hold.until) if hold else format_time(now),
        "overdue_seconds": int(late.total_seconds()),
        "requested": keyset.rotate_requested.op_id if keyset.rotate_requested else "",
        "keys": [_describe_key(key, now) for key in keyset.keys()],
        "revoked": [
            {"kid": r.kid, "revoked_at": format_time(r.revoked_at), "until": format_time(r.until)}
            for r in keyset.revoked
        ],
        "timeline": [
            {"at": format_time(m.at), "step": m.step, "kid": m.kid}
            for m in islice(timeline(keyset, policy, now, policy.rotation_period + policy.timing.retention), MILESTONES)
        ],
    }


def _describe_key(key: Key, now: datetime) -> dict[str, str]:
    if isinstance(key, NextKey):
        state = "next"
        deadline = f"usable at {format_time(key.usable_at)}" if key.usable_at else "publication not confirmed"
    elif isinstance(key, CurrentKey):
        state, deadline = "current", f"signs since {format_time(key.activated_at)}"
    else:
        state, deadline = "old", f"retires at {format_time(key.retire_at)}"
    return {
        "kid": key.kid,
        "state": state,
        "algorithm": key.algorithm.value,
        "created_at": format_time(key.created_at),
        "age": _age(now - key.created_at),
        "deadline": deadline,
    }


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _alarms(address: str, names: list[str]) -> dict[str, object]:
    """
    Ask the daemon on this machine, if there is one, for its alarms; a command needs none.
    """
    if not address:
        return {"reachable": False}
    import http.client
    import json

    try:
        connection = http.client.HTTPConnection(address, timeout=1.0)
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(1 << 20))
        alarms = [alarm for alarm in answer["alarms"] if alarm["keyset"] in names]
        return {"reachable": True, "ready": bool(answer["ready"]), "alarms": alarms}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return {"reachable": False}


def _print(entry: dict[str, object]) -> None:
    if "trouble" in entry:
        say(f"{entry['keyset']}: {entry['trouble']}")
        return
    click.echo("  ".join(_headline(entry)))
    keys = entry["keys"]
    assert isinstance(keys, list)  # noqa: S101 - made by describe
    print_table([{name: row[name] for name in ("state", "kid", "algorithm", "age", "deadline")} for row in keys])
    steps = entry["timeline"]
    assert isinstance(steps, list)  # noqa: S101 - made by describe
    for step in steps:
        click.echo(f"  {step['at']}  {step['step']}  {step['kid']}")
    click.echo()


def _headline(entry: dict[str, object]) -> Iterator[str]:
    yield f"{entry['keyset']} ({entry['algorithm']}, sequence {entry['sequence']})"
    yield f"rotates at {entry['rotates_at']}" if entry["rotates_at"] else "no rotation planned"
    if entry["held"]:
        yield f"HELD: {entry['held']}"
    if entry["overdue_seconds"]:
        yield f"OVERDUE by {entry['overdue_seconds']} s"
    if entry["requested"]:
        yield f"rotation requested ({entry['requested']})"
    yield f"rotate-now: {entry['rotate_now']}" + (
        ""
        if entry["rotate_now"] == "safe" or not entry["rotate_now_safe_at"]
        else f" until {entry['rotate_now_safe_at']}"
    )


def _print_alarms(daemon: dict[str, object]) -> None:
    if not daemon["reachable"]:
        click.echo("daemon: not reachable on this machine")
        return
    click.echo(f"daemon: {'ready' if daemon['ready'] else 'NOT READY'}")
    alarms = daemon["alarms"]
    assert isinstance(alarms, list)  # noqa: S101 - made by _alarms
    for alarm in alarms:
        click.echo(f"ALARM {alarm['keyset']}: {alarm['reason']}: {alarm['detail']}")
