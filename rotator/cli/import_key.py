"""
`rotator import`: an existing secret or private key becomes current.
"""

import sys
from pathlib import Path

import click

from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option, print_json
from rotator.model.secret import SecretText


@click.command()
@click.argument("keyset")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, allow_dash=True),
    default="-",
    help="Where to read it; - is stdin, the default.",
)
@click.option(
    "--kid",
    metavar="KID",
    help="The kid that tokens already out bear; else the RFC 7638 thumbprint, or a random one for a secret.",
)
@output_option
@pass_context
def command(context: Context, keyset: str, path: Path, kid: str | None, output: str) -> None:
    """
    Make an existing HMAC secret, or RSA private key in PEM, the current key of the new keyset KEYSET.

    Tokens already out keep verifying, and the keyset rotates from there. One trailing newline is dropped.
    """
    from rotator.adapters.keygen import Keygen
    from rotator.commands.import_key import MAX_KID, guessable, import_key, parse_key, valid_kid

    policy = context.policy(keyset)
    text = _read(path)
    if kid is not None and not valid_kid(kid):
        raise click.UsageError(f"--kid must be printable characters, of 1 to {MAX_KID} bytes")
    key = parse_key(text, policy.algorithm, kid, Keygen())
    context.say_target()
    saved = import_key(context.operator(), keyset, policy, key)
    algorithm = policy.algorithm.value
    if output == "json":
        print_json({"keyset": keyset, "kid": key.kid, "algorithm": algorithm, "op_id": saved.op_id})
    else:
        click.echo(f"{keyset}: {algorithm} key imported as current under the kid {key.kid}")
    if guessable(key):
        click.echo(
            "warning: this secret can be guessed (common words, sequences or repetition); once the next one is "
            "published, `rotator rotate-now` replaces it, and `rotator revoke` at the price of the tokens that are out",
            err=True,
        )


def _read(path: Path) -> SecretText:
    """
    Return the text of a file, or of stdin for "-", without one trailing newline.
    """
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--file: {path} cannot be read as UTF-8 text ({type(error).__name__})") from None
    return SecretText(text.removesuffix("\n").removesuffix("\r"))
