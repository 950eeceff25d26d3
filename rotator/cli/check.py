"""
`rotator check`: test the set-up piece by piece, and change nothing.
"""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from rotator.cli.check_places import folders, verify_urls
from rotator.cli.context import Context, at_end, pass_context
from rotator.cli.daemon import ask_daemon
from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.finding import Finding
from rotator.cli.output import output_option, print_json
from rotator.config.settings import Settings
from rotator.errors import DocumentError, FrozenError, RotatorError
from rotator.model.document import Stored, Tree
from rotator.model.keyset import KEYSET_NAME
from rotator.model.policy import Policy
from rotator.model.reasons import CONTRADICTIONS
from rotator.ports.probe import StoreProbe
from rotator.ports.store import DocumentStore

HARMLESS = frozenset({"deny"})


@click.command()
@output_option
@pass_context
def command(context: Context, output: str) -> None:
    """
    Check the configuration, login and rights, KV settings, Redis, the clock, the addresses in verify_urls, and files.

    Changes nothing. Exits 0 when the daemon can work (warnings included), else with the code of the gravest finding.
    """
    settings = context.settings()
    findings = list(_findings(context, settings))
    if output == "json":
        print_json([{"result": f.mark, "what": f.what, "said": f.said} for f in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.mark:4}  {finding.what}: {finding.said}")
    raise click.exceptions.Exit(max((finding.code for finding in findings), default=Exit.DONE))


def _findings(context: Context, settings: Settings) -> Iterator[Finding]:
    from rotator.config.load import warnings

    yield Finding("configuration", f"{settings.path}: {len(settings.keysets)} keysets")
    for warning in warnings(settings):
        yield Finding("configuration", warning, warn=True)
    documents: dict[str, Stored] = {}
    yield from _guarded("store", lambda: _store(context, settings, documents))
    yield from _guarded("redis", lambda: _redis(settings))
    yield from verify_urls(settings, documents)
    yield from folders(settings)
    yield from _guarded("state_dir", lambda: _last_seen(settings.daemon.state_dir))
    yield from _daemon(settings)


def _guarded(what: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except RotatorError as error:
        yield Finding(what, str(error), exit_code(error))


def _refusal(what: str, act: Callable[[], object]) -> Iterator[Finding]:
    """
    Find whether *act* is refused.
    """
    try:
        act()
    except RotatorError as error:
        yield Finding(what, str(error), exit_code(error))


def _store(context: Context, settings: Settings, documents: dict[str, Stored]) -> Iterator[Finding]:
    from rotator.wiring import make_probed_store

    store, probe = make_probed_store(settings, context.log)
    at_end(store.close)
    if settings.store.backend == "vault" and settings.vault.token is not None and settings.vault.auth != "token":
        said = f'VAULT_TOKEN was used, and the daemon\'s own ("{settings.vault.auth}") was not tried; unset it, and check again'
        yield Finding("login", said, warn=True)
    reached, unread = False, set()
    for name, policy in settings.keysets.items():
        for tree in Tree:
            try:
                stored = store.load(tree, name)
            except RotatorError as error:
                yield Finding(f"{tree}/{name}", str(error), exit_code(error))
                unread.add(name)
                if not reached:
                    return
                continue
            if tree is Tree.KEYS:
                documents[name] = stored
            if not reached:
                reached = True
                yield Finding("store", settings.target)
                skew = policy.timing.clock_skew
                offset = f"the local clock is {stored.clock.offset.total_seconds():+.1f} s off the store's"
                yield Finding("clock", offset, Exit.DONE if stored.clock.trusted(skew) else Exit.TEMPORARY)
        if name not in unread:
            yield from _keyset(store, name, policy)
    yield from _forgotten(store, settings)
    if probe is not None:
        yield from _standby(probe, settings)
        yield from _capabilities(probe, settings)
        yield from _kv(probe, settings)


def _forgotten(store: DocumentStore, settings: Settings) -> Iterator[Finding]:
    try:
        names = sorted(set(store.names()) - settings.keysets.keys())
    except RotatorError as error:
        yield Finding("keysets", str(error), exit_code(error))
        return
    for name in filter(KEYSET_NAME.fullmatch, names):
        said = (
            f"{name} is in the store and not in the configuration; put it back, or drop it with `rotator remove {name}`"
        )
        yield Finding("keysets", said, warn=True)


def _standby(probe: StoreProbe, settings: Settings) -> Iterator[Finding]:
    try:
        said = probe.standby()
    except RotatorError:
        return  # a proxy may keep that question from it
    if said:
        beats = all(policy.heartbeat for policy in settings.keysets.values())
        yield Finding("store", f"{settings.target} {said}", warn=not beats)


def _keyset(store: DocumentStore, name: str, policy: Policy) -> Iterator[Finding]:
    """
    Judge a keyset as the daemon would; one that does not exist yet is as it should be.
    """
    from rotator.commands.diagnosis import examine

    try:
        examine(store, name, policy)
    except (FrozenError, DocumentError) as error:
        yield Finding(f"{Tree.KEYS}/{name}", str(error), exit_code(error))
    except RotatorError:
        return  # it does not exist yet, or a right is missing, which is told elsewhere


def _daemon(settings: Settings) -> Iterator[Finding]:
    """
    Tell what the daemon on this machine is alarmed at: it remembers more than any command can see.
    """
    answer = ask_daemon(settings.admin_http, settings.keysets)
    if not answer["reachable"]:
        return
    alarms = answer["alarms"]
    assert isinstance(alarms, list)  # noqa: S101 - made by ask_daemon
    for alarm in alarms:
        detail = str(alarm["detail"]).removeprefix(f"{alarm['keyset']}: ")
        said = f"{alarm['keyset']}: {alarm['reason']}: {detail}"
        yield Finding("daemon", said, Exit.REFUSED if alarm["reason"] in CONTRADICTIONS else Exit.DONE, warn=True)
    if not alarms:
        yield Finding("daemon", f"at {settings.admin_http}: no alarm")


def _capabilities(probe: StoreProbe, settings: Settings) -> Iterator[Finding]:
    from rotator.adapters.vault.policies import Role, needed

    wanted: dict[str, frozenset[str]] = {}
    for name in settings.keysets:
        for path, capabilities in needed(Role.DAEMON, settings, name).items():
            wanted[path] = wanted.get(path, frozenset()) | capabilities
    held = probe.capabilities(list(wanted))
    good = True
    if any("root" in have for have in held.values()):
        yield Finding("capabilities", "this token is a root token, which may do anything", warn=True)
    for path, capabilities in wanted.items():
        have = capabilities if "root" in held[path] else held[path]
        if missing := capabilities - have:
            good = False
            yield Finding(
                "capabilities", f"{path} lacks {', '.join(sorted(missing))}; apply `rotator policy daemon`", Exit.DENIED
            )
        if superfluous := have - capabilities - HARMLESS:
            yield Finding("capabilities", f"{path} has {', '.join(sorted(superfluous))} beyond need", warn=True)
    if good:
        yield Finding("capabilities", "all that the daemon needs")


def _kv(probe: StoreProbe, settings: Settings) -> Iterator[Finding]:
    vault = settings.vault
    for path in (
        f"{vault.mount}/config",
        *(f"{vault.mount}/metadata/{vault.prefix}/keys/{name}" for name in settings.keysets),
    ):
        try:
            answer = probe.read_raw(path)
        except RotatorError:
            continue  # the daemon itself does not need this right
        if answer is None:
            continue
        after = str(answer.get("delete_version_after", "0s"))
        if after not in {"0s", "0", ""}:
            yield Finding(
                path, "delete_version_after is set: it would hide current if rotation stalls; set it to 0s", Exit.CONFIG
            )
        if "metadata" in path and answer.get("cas_required") is False:
            yield Finding(path, "cas_required is off; rotator always compares, others might not", warn=True)


def _redis(settings: Settings) -> Iterator[Finding]:
    from rotator.wiring import make_notifier

    notifier = make_notifier(settings)
    if settings.redis is None or notifier is None:
        yield Finding("redis", "not configured: consumers learn of changes by polling")
        return
    at_end(notifier.close)
    wrong = notifier.probe()
    for fault in wrong:
        yield Finding("redis", f"{fault} (rotation goes on without it)", warn=True)
    if not wrong:
        yield Finding("redis", settings.redis.url)


def _last_seen(folder: Path) -> Iterator[Finding]:
    """
    Find what the daemon would refuse to remember. A file that this user cannot read proves nothing.
    """
    from rotator.adapters.files.last_seen import LastSeenFiles

    files = LastSeenFiles(folder)
    for name in files.names() if os.access(folder / "keysets", os.R_OK | os.X_OK) else ():
        yield from _refusal("state_dir", functools.partial(files.get, name))
