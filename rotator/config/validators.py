"""
Validators of single options: each returns the value as settings hold it, or raises ValueError.

No message repeats the value: a secret may have been pasted anywhere.
"""

import re
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from rotator.model.algorithms import RSA_SIZES, Algorithm
from rotator.model.times import parse_duration

KEYSET = "{keyset}"
_VAULT_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
_CHANNEL = re.compile(r"[A-Za-z0-9_.:/{}-]{1,128}")
_WORD = re.compile(r"[!-~]{0,128}")
_LATER = {
    "EC keys (ES256, ES384, ES512)": r"ES(256K?|384|512)",
    "Ed25519 keys (EdDSA)": r"ED(DSA|25519|448)",
    "ML-DSA keys": r"ML-?DSA.*",
    "RS384, RS512 and PS256 to PS512": r"(RS|PS)(256|384|512)",
}
_MAX_PORT = 65535
_MAX_WORKERS = 64


def text(value: object) -> str:
    """
    Return *value* if it is text without control characters.
    """
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    if not value.isprintable():
        raise ValueError("holds a line break or another control character; remove it")
    return value


def algorithm(value: object) -> Algorithm:
    """
    Return the algorithm of exactly this name; the message says whether another is unknown or just not supported yet.
    """
    name = text(value)
    try:
        return Algorithm(name)
    except ValueError:
        pass
    folded = name.upper()
    if folded in Algorithm.__members__:
        raise ValueError(f'must be written "{folded}"')
    for kind, pattern in _LATER.items():
        if re.fullmatch(pattern, folded):
            raise ValueError(f"{kind} are not supported yet; use RS256, or an HMAC algorithm")
    raise ValueError(f"must be one of {', '.join(Algorithm)}")


def rsa_bits(value: object) -> int:
    """
    Return the size of RSA keys in bits.
    """
    if type(value) is not int or value not in RSA_SIZES:
        *others, largest = RSA_SIZES
        raise ValueError(f"must be {', '.join(map(str, others))} or {largest}, without quotes")
    return value


def poll_interval(value: object) -> timedelta | None:
    """
    Return the interval, None for "auto".
    """
    if value == "auto":
        return None
    try:
        interval = parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "auto"') from None
    if not interval:
        raise ValueError('must be at least 1s; or say "auto"')
    return interval


def workers(value: object) -> int:
    """
    Return a number of threads, 1 to 64.
    """
    if type(value) is not int or not 1 <= value <= _MAX_WORKERS:
        raise ValueError(f"must be a whole number from 1 to {_MAX_WORKERS}, without quotes")
    return value


def file_path(value: object) -> str:
    """
    Return the path of a file or folder unchanged.
    """
    path = text(value)
    if not path:
        raise ValueError("must not be empty")
    if path.startswith("~"):
        raise ValueError("~ is not expanded; write the whole path")
    return path


def optional_path(value: object) -> str:
    """
    Return a path, "" for none.
    """
    return "" if value == "" else file_path(value)


def jwks_path(value: object) -> str:
    """
    Return the path of the JWKS file, which may hold "{keyset}" in its last part; "" for none.
    """
    path = optional_path(value)
    folder, _, name = path.rpartition("/")
    if path and name in ("", ".", ".."):
        raise ValueError("names a folder; add the name of a file")
    if "{" in folder or "}" in folder:
        raise ValueError(f"{KEYSET} belongs into the name of the file, not of its folder")
    _only_keyset(name)
    return path


def listen_address(value: object) -> str:
    """
    Return host and port to listen on, "" for off; port 0 lets the system choose.
    """
    address = text(value)
    match = _LISTEN.fullmatch(address)
    if address and match is None:
        raise ValueError('must be HOST:PORT, as in "127.0.0.1:8471", "[::1]:8471" or "0.0.0.0:8471"; or "" for off')
    if match and int(match[2]) > _MAX_PORT:
        raise ValueError(f"the port must be at most {_MAX_PORT}")
    return address


def vault_path(value: object) -> str:
    """
    Return a mount or a prefix: one or more names separated by slashes.
    """
    path = text(value)
    if not _VAULT_PATH.fullmatch(path):
        raise ValueError('must be letters, digits, "_", "-" and ".", and a single slash between parts')
    if {".", ".."} & set(path.split("/")):
        raise ValueError('must not have "." or ".." as a part')
    return path


def namespace(value: object) -> str:
    """
    Return the namespace without the trailing slash that Vault prints, "" for none.
    """
    name = text(value).removesuffix("/")
    return vault_path(name) if name else ""


def channel(value: object) -> str:
    """
    Return the name of the Redis stream and pub/sub channel.
    """
    name = text(value)
    if not _CHANNEL.fullmatch(name):
        raise ValueError('must be 1 to 128 letters, digits or any of "_.:/{}-"')
    return name


def username(value: object) -> str:
    """
    Return a user name, "" for none.
    """
    name = text(value)
    if not _WORD.fullmatch(name):
        raise ValueError("must be at most 128 ASCII characters without spaces")
    return name


def vault_address(value: object) -> str:
    """
    Return the address of a server without a trailing slash.
    """
    url = _split(value, ("http", "https"), 'an address, as in "https://vault.example.org:8200"')
    if "@" in url.netloc:
        raise ValueError("must not hold credentials; they belong into files, see auth")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("must end after the port; the path of the keysets is made of mount and prefix")
    return f"{url.scheme}://{url.netloc}"


def redis_url(value: object) -> str:
    """
    Return a Redis address; it must hold no credentials.
    """
    if isinstance(value, str) and "@" in value:
        raise ValueError("must not hold a user name or password; use username and password_file")
    wanted = 'an address, as in "redis://127.0.0.1:6379/0", "rediss://..." or "unix:///..."'
    url = _split(value, ("redis", "rediss", "unix"), wanted)
    if url.fragment or not re.fullmatch(r"(db=[0-9]{1,5})?", url.query):
        raise ValueError(
            "must have no parameters but db=NUMBER; username, password_file, ca_file are options of their own"
        )
    if url.scheme != "unix" and not re.fullmatch(r"(/[0-9]{0,5})?", url.path):
        raise ValueError("must end after the number of the database")
    return str(value)  # put together again, a socket's address would lose two slashes


def verify_url(value: object) -> str:
    """
    Return an address where consumers fetch a JWKS; it may hold "{keyset}".
    """
    url = _split(value, ("http", "https"), 'an address, as in "https://login.example.org/.well-known/jwks.json"')
    if "@" in url.netloc:
        raise ValueError("must not hold credentials; a JWKS is public")
    if url.fragment:
        raise ValueError('must not hold a fragment ("#...")')
    if "{" in url.netloc:
        raise ValueError(f"{KEYSET} belongs into the path, not into the host")
    _only_keyset(url.path + url.query)
    return url.geturl()


def _split(value: object, schemes: tuple[str, ...], wanted: str) -> SplitResult:
    """
    Return the split URL; raises ValueError unless it has one of *schemes* and a host (for unix:, a path).
    """
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    try:
        url = urlsplit(value)
        placed = (url.path.startswith("/") and not url.netloc) if url.scheme == "unix" else bool(url.hostname)
        port = url.port
    except ValueError:
        raise ValueError(f"must be {wanted}") from None
    if not re.fullmatch(r"[!-~]+", value) or url.scheme not in schemes or not placed or port == 0:
        raise ValueError(f"must be {wanted}")
    return url


def _only_keyset(path: str) -> None:
    rest = path.replace(KEYSET, "")
    if "{" in rest or "}" in rest:
        raise ValueError(f"knows no braces but {KEYSET}")
