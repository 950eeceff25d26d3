"""
The tables of the configuration file: every option with its type and default, and what is wrong with a value.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from rotator import shapes
from rotator.crosscheck import Fault
from rotator.keys import Algorithm
from rotator.policy import parse_duration

_Duration = Annotated[timedelta, PlainValidator(parse_duration)]
_Path = Annotated[str, PlainValidator(shapes.file_path)]
_OptionalPath = Annotated[str, PlainValidator(shapes.optional_path)]
_VaultPath = Annotated[str, PlainValidator(shapes.vault_path)]
_Listen = Annotated[str, PlainValidator(shapes.listen_address)]


class Table(BaseModel):
    """
    A table of the file: unknown options are faults, and nothing is converted ("8" is no number, 1 is not true).
    """

    # hide_input_in_errors is a second lock: no message of pydantic's is shown at all.
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class StoreTable(Table):
    """
    `[store]`: where keysets are kept.
    """

    backend: Literal["vault", "file"] = "vault"
    path: _Path = "/var/lib/rotator/store"


class VaultTable(Table):
    """
    `[vault]`: Vault or OpenBao, KV version 2.
    """

    address: Annotated[str, PlainValidator(shapes.vault_address)] = "https://127.0.0.1:8200"
    mount: _VaultPath = "secret"
    prefix: _VaultPath = "rotator"
    namespace: Annotated[str, PlainValidator(shapes.namespace)] = ""
    ca_file: _OptionalPath = ""
    auth: Literal["approle", "token"] = "approle"
    role_id_file: _Path = "role_id"
    secret_id_file: _Path = "secret_id"  # noqa: S105 - the name of a file
    token_file: _Path = "vault_token"  # noqa: S105 - the name of a file


class RedisTable(Table):
    """
    `[redis]`: where changes are announced; without the table they are not.
    """

    url: Annotated[str, PlainValidator(shapes.redis_url)] = "redis://127.0.0.1:6379/0"
    channel: Annotated[str, PlainValidator(shapes.channel)] = "rotator:events"
    username: Annotated[str, PlainValidator(shapes.username)] = ""
    password_file: _OptionalPath = ""
    ca_file: _OptionalPath = ""


class PublishTable(Table):
    """
    `[publish]`: where verifiers find the JWKS.
    """

    vault: bool = True
    file: Annotated[str, PlainValidator(shapes.jwks_path)] = "/var/lib/rotator/public/jwks.json"
    http: _Listen = "127.0.0.1:8471"
    verify_urls: list[Annotated[str, PlainValidator(shapes.verify_url)]] = []


class AdminTable(Table):
    """
    `[admin]`: health, metrics and the status page.
    """

    http: _Listen = "127.0.0.1:8472"


class DaemonTable(Table):
    """
    `[daemon]`: how `rotator run` works.
    """

    poll_interval: Annotated[timedelta | None, PlainValidator(shapes.poll_interval)] = None
    workers: Annotated[int, PlainValidator(shapes.workers)] = 8
    state_dir: _Path = "/var/lib/rotator"


class LogTable(Table):
    """
    `[log]`: what is logged.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class KeysetTable(Table):
    """
    `[defaults]` and `[keysets.NAME]`: how a keyset is rotated; None: not said.
    """

    algorithm: Annotated[Algorithm, PlainValidator(shapes.algorithm)] = Algorithm.RS256
    rsa_bits: Annotated[int, PlainValidator(shapes.rsa_bits)] = 2048
    rotation_period: _Duration = timedelta(days=30)
    propagation_time: _Duration = timedelta(hours=2)
    max_token_lifetime: _Duration = timedelta(days=7)
    clock_skew: _Duration = timedelta(minutes=1)
    well_known: bool | None = None
    readers: Literal["flat", "keys"] = "flat"
    retain: bool = False


TABLES: Mapping[str, type[Table]] = {
    "store": StoreTable,
    "vault": VaultTable,
    "redis": RedisTable,
    "publish": PublishTable,
    "admin": AdminTable,
    "daemon": DaemonTable,
    "log": LogTable,
    "defaults": KeysetTable,
}
KEYSETS = "keysets"
_T = TypeVar("_T", bound=Table)
_TYPES = {
    "bool_type": "must be true or false, without quotes",
    "list_type": 'must be a list of texts, as in ["...", "..."]',
}
_TAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def read_table(kind: type[_T], table: str, raw: object) -> tuple[_T, Mapping[str, object], list[Fault]]:
    """
    Return the table with defaults for what is missing or wrong, the options that are there and sound, and the faults.

    *table* is its name in the file. No fault repeats a value.
    """
    if not isinstance(raw, dict):
        return kind(), {}, [Fault(table, "", "must be a table")]
    try:
        return kind.model_validate(raw), raw, []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    bad = {detail["loc"][0] for detail in details}
    sound = {option: value for option, value in raw.items() if option not in bad}
    return kind.model_validate(sound), sound, [_fault(kind, table, detail) for detail in details]


def unknown_table(name: str, value: object) -> Fault:
    """
    Return the fault of something at the top of the file that is no table of ours.
    """
    if isinstance(value, dict):
        return Fault(shown(name), "", f"is an unknown table{_suggestion(name, [*TABLES, KEYSETS])}")
    return Fault("", shown(name), f"is an unknown option outside any table{_home(name)}")


def shown(name: str) -> str:
    """
    Return *name* for a message, unless it may be a value gone astray.
    """
    return name if _TAME.fullmatch(name) else f"(a name of {len(name)} characters)"


def _fault(kind: type[Table], table: str, detail: ErrorDetails) -> Fault:
    option, *entry = detail["loc"]
    name, context = str(option), detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            what = f"is an unknown option{_suggestion(name, kind.model_fields) or _home(name)}"
            return Fault(table, shown(name), what)
        case "value_error":
            what = str(context["error"])
        case "literal_error":
            what = f"must be {context['expected']}".replace("'", '"')
        case other:
            what = _TYPES.get(other, "is not valid")
    return Fault(table, f"{name}, entry {int(entry[0]) + 1}" if entry else name, what)


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only a fault needs it

    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _home(name: str) -> str:
    homes = [f"[{table}]" for table, kind in TABLES.items() if name in kind.model_fields]
    return f"; it belongs into {' or '.join(homes)}" if homes else "; remove it"
