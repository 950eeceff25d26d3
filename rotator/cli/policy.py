"""
`rotator policy`: a Vault policy with what a role needs and nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from rotator.adapters.vault.policies import Role, needed, reads, welcome
from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option, print_json
from rotator.model.document import Tree

if TYPE_CHECKING:
    from rotator.config.settings import Settings

_KEEPERS = (Role.DAEMON, Role.OPERATOR)


@click.command()
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.argument("keyset", required=False)
@output_option
@pass_context
def command(context: Context, role: str, keyset: str | None, output: str) -> None:
    """
    Print a Vault policy for ROLE, for KEYSET alone or for all, ready for `vault policy write NAME -`.

    It is HCL, with the commands that belong to it as comments, or JSON, which Vault takes as well.
    """
    settings, who = context.settings(), Role(role)
    if keyset is not None:
        context.policy(keyset)
    if settings.store.backend == "file":
        raise click.UsageError('[store] backend is "file"; a policy is of use with Vault only')
    if output == "json":
        rules = {**needed(who, settings, keyset), **(welcome(settings) if who in _KEEPERS else {})}
        print_json({"path": {path: {"capabilities": sorted(can)} for path, can in rules.items()}})
        return
    blocks = _keeper(who, settings, keyset) if who in _KEEPERS else _service(who, settings, keyset)
    click.echo("\n\n".join((_head(who, settings, keyset), *blocks)))


def _head(role: Role, settings: "Settings", keyset: str | None) -> str:
    arguments = f"{role} {keyset}" if keyset else role.value
    name = f"rotator-{role}-{keyset}" if keyset else f"rotator-{role}"
    return (
        f"# What the {role} needs of {f'keyset {keyset}' if keyset else 'every keyset'}. To apply it:\n"
        f"#   rotator policy {arguments} | vault policy write{_namespace(settings)} {name} -"
    )


def _keeper(role: Role, settings: "Settings", keyset: str | None) -> Iterator[str]:
    yield "\n".join(
        (
            "# To have Vault refuse every write without compare-and-set, best before the first start:",
            *(f"#   {line}" for name in ([keyset] if keyset else settings.keysets) for line in _cas(settings, name)),
        )
    )
    yield from _rules(needed(role, settings, keyset))
    yield (
        "# Can be left out; `rotator check` uses it to see whether the mount deletes versions by itself.\n"
        + "\n\n".join(_rules(welcome(settings)))
    )


def _cas(settings: "Settings", keyset: str) -> Iterator[str]:
    put = f"vault kv metadata put{_namespace(settings)} -mount={settings.vault.mount} -cas-required=true"
    return (f"{put} {settings.vault.prefix}/{tree}/{keyset}" for tree in Tree)


def _service(role: Role, settings: "Settings", keyset: str | None) -> Iterator[str]:
    for name in [keyset] if keyset else settings.keysets:
        algorithm = settings.keysets[name].algorithm
        comment = f"# {name} ({algorithm})"
        if role is Role.VERIFIER and algorithm.symmetric:
            comment += ": who verifies HMAC holds the secret that signs, so this lets it sign, too"
        yield comment
        yield from _rules(dict.fromkeys(reads(role, settings, name), frozenset({"read"})))


def _rules(rules: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for path, capabilities in rules.items():
        listed = ", ".join(f'"{capability}"' for capability in sorted(capabilities))
        yield f'path "{path}" {{\n  capabilities = [{listed}]\n}}'


def _namespace(settings: "Settings") -> str:
    return f" -namespace={settings.vault.namespace}" if settings.vault.namespace else ""
