"""
What each kind of Vault token must be able to do: the one source of `rotator policy` and `rotator check`.

A service's token renews and looks up itself by Vault's `default` policy, which every token has unless it is removed.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from rotator.config.settings import Settings
from rotator.model.document import Tree

ANY = "+"
_TOKEN = {
    "auth/token/lookup-self": frozenset({"read"}),
    "auth/token/renew-self": frozenset({"update"}),
    "auth/token/revoke-self": frozenset({"update"}),
    "sys/capabilities-self": frozenset({"update"}),
}
_READ = frozenset({"read"})


class Role(StrEnum):
    """
    The holder of a token: the daemon, a person at the command line, a service that signs, a service that verifies.
    """

    DAEMON = "daemon"
    OPERATOR = "operator"
    SIGNER = "signer"
    VERIFIER = "verifier"


def needed(role: Role, settings: Settings, keyset: str | None) -> Mapping[str, frozenset[str]]:
    """
    Return the capabilities that *role* needs for *keyset*, by path: exactly those that its requests use.

    Without *keyset*: those for any keyset ("+" stands for its name); for a service, for all that are configured.
    """
    match role:
        case Role.DAEMON:
            return {**dict(_keeper(settings, keyset)), **_list(settings), **_TOKEN}
        case Role.OPERATOR:
            # A command ends long before its token does; nothing is renewed.
            token = {path: can for path, can in _TOKEN.items() if "renew" not in path}
            return dict(_keeper(settings, keyset)) | dict(_recovery(settings, keyset)) | token
        case Role.SIGNER | Role.VERIFIER:
            names = settings.keysets if keyset is None else [keyset]
            return {path: _READ for name in names for path in reads(role, settings, name)}


def welcome(settings: Settings) -> Mapping[str, frozenset[str]]:
    """
    Return what helps the daemon and operator but is not needed: to see whether the mount deletes versions by itself.
    """
    return {f"{settings.vault.mount}/config": _READ}


def reads(role: Role, settings: Settings, keyset: str) -> tuple[str, ...]:
    """
    Return the paths that a service reads; verifiers of an HMAC keyset need the secret itself.
    """
    signing, public = (_path(settings, "data", tree, keyset) for tree in (Tree.KEYS, Tree.JWKS))
    if role is Role.SIGNER:
        return (signing,)
    return (signing, public) if settings.keysets[keyset].algorithm.symmetric else (public,)


def _list(settings: Settings) -> Mapping[str, frozenset[str]]:
    """
    Return what it takes to find keysets that the configuration does not name.
    """
    return {_path(settings, "metadata", Tree.KEYS, ""): frozenset({"list"})}


def _keeper(settings: Settings, keyset: str | None) -> Iterator[tuple[str, frozenset[str]]]:
    name = keyset or ANY
    secret = (Tree.KEYS, Tree.STANDBY)
    for tree in (*secret, Tree.JWKS):
        yield _path(settings, "data", tree, name), frozenset({"create", "read", "update"})
    for tree in secret:
        yield _path(settings, "metadata", tree, name), _READ
        yield _path(settings, "destroy", tree, name), frozenset({"update"})
    if keyset is not None and settings.keysets[keyset].well_known:
        # The first key of a keyset waits for propagation if the combined set already holds other keysets' keys.
        for other, policy in settings.keysets.items():
            if policy.well_known and other != keyset:
                yield _path(settings, "data", Tree.JWKS, other), _READ


def _recovery(settings: Settings, keyset: str | None) -> Iterator[tuple[str, frozenset[str]]]:
    """
    Yield what `rotator restore`, `thaw` and `remove` need beside: to undelete, and to remove a document whole.
    """
    name = keyset or ANY
    for tree in Tree:
        yield _path(settings, "metadata", tree, name), frozenset({"read", "delete"})
        yield _path(settings, "undelete", tree, name), frozenset({"update"})


def _path(settings: Settings, kind: str, tree: Tree, name: str) -> str:
    return f"{settings.vault.mount}/{kind}/{settings.vault.prefix}/{tree}/{name}"
