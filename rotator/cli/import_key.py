"""
`rotator import`: an existing secret or private key becomes current.
"""

import sys
from pathlib import Path

import click

from rotator.adapters.keygen import Keygen
from rotator.cli.context import Context, pass_context
from rotator.cli.output import output_option, print_json
from rotator.documents.private_key import load_pair
from rotator.errors import KeyMaterialError, RefusedError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import GeneratedKey, HmacSecret, Kid
from rotator.model.policy import Policy
from rotator.model.secret import SecretText

MAX_KID = 256


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
    policy = context.policy(keyset)
    text = _read(path)
    made = _made(policy, text, kid)
    context.say_target()
    operator = context.operator()
    public = operator.store.load(Tree.JWKS, keyset)
    stored = operator.store.load(Tree.KEYS, keyset)
    if stored.version or public.version:
        raise RefusedError(
            f"{keyset}: exists already; import creates a keyset, so name a new one in the configuration and import into that"
        )
    imported = operator.effects.import_key(keyset, policy, stored.clock, made).snapshot.keyset
    current = imported.current
    answer = {
        "keyset": keyset,
        "kid": current.kid if current else "",
        "algorithm": policy.algorithm.value,
        "op_id": imported.op_id,
    }
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"{keyset}: {answer['algorithm']} key imported as current under the kid {answer['kid']}")
    if isinstance(made.material, HmacSecret):
        _warn_of_guessable(made.material.secret)


def _warn_of_guessable(secret: SecretText) -> None:
    """
    Say it when the secret is no random one: it is taken, so that tokens already out keep verifying, and should not stay.
    """
    from rotator.model.strength import MIN_BITS, guessable_bits

    if guessable_bits(secret.reveal()) < MIN_BITS:
        click.echo(
            "warning: this secret can be guessed (common words, sequences or repetition); once the next one is "
            "published, `rotator rotate-now` replaces it, and `rotator revoke` at the price of the tokens that are out",
            err=True,
        )


def _read(path: Path) -> SecretText:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--file: {path} cannot be read as UTF-8 text ({type(error).__name__})") from None
    return SecretText(text.removesuffix("\n").removesuffix("\r"))


def _made(policy: Policy, text: SecretText, kid: str | None) -> GeneratedKey:
    if kid is not None and not (1 <= len(kid.encode(errors="replace")) <= MAX_KID and kid.isprintable()):
        raise click.UsageError("--kid must be printable characters, of 1 to 256 bytes")
    if policy.algorithm.symmetric:
        size, shortest = len(text.reveal().encode()), policy.algorithm.shortest_secret
        if size < shortest:
            raise KeyMaterialError(
                f"--file: holds {size} bytes, fewer than the {shortest} that {policy.algorithm} needs: too weak to sign "
                "with; let rotator make a new one, and have the holders of tokens log in again"
            )
        if text.reveal().startswith("-----BEGIN "):
            raise KeyMaterialError(
                f"a PEM key is no secret for {policy.algorithm}; set algorithm to RS256 for this keyset"
            )
        return GeneratedKey(Kid(kid) if kid else Keygen().generate(Algorithm.HS256, 0).kid, HmacSecret(text), None)
    pair = load_pair(text)
    return GeneratedKey(Kid(kid) if kid else pair.kid, pair.material, pair.private)
