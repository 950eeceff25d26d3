"""
The files that settings name: secrets, and certificates of authorities.
"""

import ssl
from pathlib import Path

from rotator.adapters.files.reading import read_regular
from rotator.config.settings import Settings
from rotator.errors import ConfigError
from rotator.model.secret import SecretText


def read_secret(path: Path, option: str) -> SecretText:
    """
    Return the text of a credential file without its trailing newline; raises ConfigError naming *option*.
    """
    try:
        text = read_regular(path).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{option}: {path} cannot be read ({type(error).__name__}); create it or correct the option"
        ) from None
    if not text:
        raise ConfigError(f"{option}: {path} is empty; write the credential into it")
    return SecretText(text)


def require_login(settings: Settings) -> None:
    """
    Raise ConfigError unless the files can be read now that each login to Vault reads.
    """
    vault = settings.vault
    if settings.store.backend == "vault" and vault.token is None and vault.auth == "approle":
        read_secret(vault.role_id_file, "[vault] role_id_file")
        if vault.secret_id_file:
            read_secret(vault.secret_id_file, "[vault] secret_id_file")


def require_authorities(path: Path | None, option: str) -> None:
    """
    Raise ConfigError, naming *option*, unless *path* is None or holds certificates to trust.
    """
    if path is None:
        return
    try:
        read_regular(path)  # a FIFO would keep its reader waiting
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        reason = type(error).__name__ if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{option}: {path} cannot be used ({reason}); it must hold PEM certificates") from None
