"""
`rotator jwks`: the published set, as verifiers read it from the store.
"""

import click

from rotator.cli.context import Context, pass_context
from rotator.documents.jwk import combined
from rotator.documents.public import decode_public
from rotator.errors import StoreUnavailableError
from rotator.model.document import Tree


@click.command()
@click.argument("keyset", required=False)
@pass_context
def command(context: Context, keyset: str | None) -> None:
    """
    Print the JWKS of KEYSET, or of all well-known keysets together. Always JSON, ready for a file.
    """
    from rotator.wiring import in_combined_set

    settings = context.settings()
    if keyset is not None and context.policy(keyset).algorithm.symmetric:
        raise click.UsageError(f"{keyset} holds shared secrets; it has no JWKS")
    store = context.store()
    sets = []
    for name in [keyset] if keyset else in_combined_set(settings.keysets):
        stored = store.load(Tree.JWKS, name)
        if stored.fields is None:
            raise StoreUnavailableError(f"{name}: nothing is published yet; start the daemon, or run `rotator tick`")
        sets.append(decode_public(stored.fields, name).jwks)
    click.echo(sets[0] if keyset else combined(sets))
