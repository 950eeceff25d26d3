"""
What services import: keys kept fresh, tokens signed and verified with them. Needs the extra `client`.

    with KeysetReader(VaultSource("internal", token_file="/run/vault/token"), hints=RedisHints()) as keys:
        token = Signer(keys, issuer="https://login.example", audience="api").sign("alice")
        claims = Verifier(keys, issuer="https://login.example", audience="api").verify(token)
"""

from typing import TYPE_CHECKING

from rotator.client.errors import (
    Doubt,
    InvalidTokenError,
    KeysUnavailableError,
    Rejection,
    SigningError,
    TokenStateError,
)
from rotator.client.jose.keys import Keys
from rotator.client.protocols import Provider, ReaderStatus
from rotator.client.reader import KeysetReader
from rotator.client.signer import Signer
from rotator.client.sources.document import Source
from rotator.client.sources.file import FileSource
from rotator.client.sources.jwks import JwksSource
from rotator.client.sources.vault import VaultSource
from rotator.client.static import StaticKeys
from rotator.client.verifier import ACCESS, REFRESH, Claims, Verifier, verify_with
from rotator.errors import ConfigError, RotatorError, WeakSecretError
from rotator.model.policy import Timing
from rotator.model.strength import require_strong

if TYPE_CHECKING:
    from rotator.client.hints import RedisHints
    from rotator.client.sessions.cookies import Cookie, Cookies
    from rotator.client.sessions.pair import TokenPair
    from rotator.client.sessions.state import SessionStore
    from rotator.client.sessions.tokens import Tokens

__all__ = [
    "ACCESS",
    "REFRESH",
    "Claims",
    "ConfigError",
    "Cookie",
    "Cookies",
    "Doubt",
    "FileSource",
    "InvalidTokenError",
    "JwksSource",
    "Keys",
    "KeysUnavailableError",
    "KeysetReader",
    "Provider",
    "ReaderStatus",
    "RedisHints",
    "Rejection",
    "RotatorError",
    "SessionStore",
    "Signer",
    "SigningError",
    "Source",
    "StaticKeys",
    "Timing",
    "TokenPair",
    "TokenStateError",
    "Tokens",
    "VaultSource",
    "Verifier",
    "WeakSecretError",
    "require_strong",
    "verify_with",
]
_WITH_REDIS = {
    "Cookie": "sessions.cookies",
    "Cookies": "sessions.cookies",
    "RedisHints": "hints",
    "SessionStore": "sessions.state",
    "TokenPair": "sessions.pair",
    "Tokens": "sessions.tokens",
}


def __getattr__(name: str) -> object:
    # A service without Redis does not pay for importing it.
    if name in _WITH_REDIS:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"rotator.client.{_WITH_REDIS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
