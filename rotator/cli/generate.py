"""
`rotator generate`: a strong secret, for a service that rotator does not rotate.
"""

import click

from rotator.cli.output import output_option, print_json


@click.command()
@output_option
def command(output: str) -> None:
    """
    Print 256 random bits as 64 hex digits. Needs no configuration and stores nothing.
    """
    from rotator.adapters.keygen import fresh_secret

    secret = fresh_secret().reveal()
    if output == "json":
        print_json({"secret": secret, "bits": 256})
    else:
        click.echo(secret)
