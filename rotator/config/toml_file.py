"""
Finds the configuration file and reads its TOML.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotator.errors import ConfigError

PLACES = ("config.toml", "/etc/rotator/config.toml")


def read_toml(path: Path | None, environ: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """
    Return the absolute path and the content of *path*, else of ROTATOR_CONFIG, else of the first of PLACES that exists.

    Raises ConfigError if there is no file, or it cannot be read or is not TOML; the message never repeats the file's
    text.
    """
    named = path or (Path(environ["ROTATOR_CONFIG"]) if environ.get("ROTATOR_CONFIG") else None)
    places = possible_files(path, environ)
    for place in places:
        try:
            if not stat.S_ISREG(mode := place.stat().st_mode) and not stat.S_ISDIR(mode):
                raise ConfigError(f"{place}: is no regular file; put one there, or name another")  # a FIFO: it may hang
            return place, tomllib.loads(place.read_bytes().decode())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{place}: cannot be read ({error.strerror}); correct its permissions") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{place}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{place}: {_syntax(str(error))}") from None
    if named:
        origin = "--config" if path else "ROTATOR_CONFIG"
        raise ConfigError(f"{places[0]}: does not exist; correct {origin}, or write the file")
    looked = ", ".join(map(str, places))
    raise ConfigError(f"no configuration: neither --config nor ROTATOR_CONFIG names one, and there is none at {looked}")


def possible_files(path: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """
    Return the absolute paths where the configuration may be, the first one first; only one if it is named.
    """
    named = path or environ.get("ROTATOR_CONFIG")
    # Not resolved: a link stays one, and ".." goes away.
    return tuple(Path(os.path.abspath(place)) for place in ([named] if named else PLACES))  # noqa: PTH100


def _syntax(message: str) -> str:
    """
    Return tomllib's message without the names and texts it may quote.
    """
    match = re.fullmatch(r"(.*) \(at (line \d+, column \d+|end of document)\)", message, re.DOTALL)
    if match is None:
        return "is not valid TOML; look for unbalanced brackets and odd numbers"
    reason, where = match[1], match[2]
    if reason.startswith(("Cannot", "Duplicate")):
        reason = "the same table or option is there twice"
    elif not reason.startswith(("Expected", "Found", "Illegal", "Invalid", "Un", "Escaped", "End")):
        reason = "something is out of place"
    return f"is not valid TOML at {where}: {reason[0].lower()}{reason[1:]}"
