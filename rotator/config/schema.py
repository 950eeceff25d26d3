"""
The schema of the configuration file: every option of every table with its type, its validator and its default.

It uses pydantic's engine without its models: importing those would cost a command as much time as a request to Vault.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic_core import SchemaValidator, ValidationError, core_schema

from rotator.config import validators
from rotator.config.rules import Fault
from rotator.model.algorithms import MIN_RSA_BITS, Algorithm
from rotator.model.times import parse_duration

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ErrorDetails

DEFAULT_STATE_DIR = "/var/lib/rotator"
_Truth = Annotated[bool, core_schema.bool_schema(strict=True)]
_Duration = Annotated[timedelta, parse_duration]
_Path = Annotated[str, validators.file_path]
_OptionalPath = Annotated[str, validators.optional_path]
_VaultPath = Annotated[str, validators.vault_path]
_Listen = Annotated[str, validators.listen_address]
_VERIFY_URLS = core_schema.list_schema(core_schema.no_info_plain_validator_function(validators.verify_url), strict=True)


class StoreTable(NamedTuple):
    """
    `[store]`: where keysets are kept.
    """

    backend: Literal["vault", "file"] = "vault"
    path: _Path = "/var/lib/rotator/store"


class VaultTable(NamedTuple):
    """
    `[vault]`: Vault or OpenBao, KV version 2.
    """

    address: Annotated[str, validators.vault_address] = "https://127.0.0.1:8200"
    mount: _VaultPath = "secret"
    prefix: _VaultPath = "rotator"
    namespace: Annotated[str, validators.namespace] = ""
    ca_file: _OptionalPath = ""
    auth: Literal["approle", "token"] = "approle"
    role_id_file: _Path = "role_id"
    secret_id_file: _OptionalPath = "secret_id"  # noqa: S105 - the name of a file
    token_file: _Path = "vault_token"  # noqa: S105 - the name of a file


class RedisTable(NamedTuple):
    """
    `[redis]`: where changes are announced; without the table they are not.
    """

    url: Annotated[str, validators.redis_url] = "redis://127.0.0.1:6379/0"
    channel: Annotated[str, validators.channel] = "rotator:events"
    username: Annotated[str, validators.username] = ""
    password_file: _OptionalPath = ""
    ca_file: _OptionalPath = ""


class PublishTable(NamedTuple):
    """
    `[publish]`: where verifiers find the JWKS.
    """

    vault: _Truth = True
    file: Annotated[str, validators.jwks_path] = "/var/lib/rotator/public/jwks.json"
    http: _Listen = "127.0.0.1:8471"
    verify_urls: Annotated[Sequence[str], _VERIFY_URLS] = ()
    ca_file: _OptionalPath = ""


class AdminTable(NamedTuple):
    """
    `[admin]`: health and metrics.
    """

    http: _Listen = "127.0.0.1:8472"


class DaemonTable(NamedTuple):
    """
    `[daemon]`: how `rotator run` works.
    """

    poll_interval: Annotated[timedelta | None, validators.poll_interval] = None
    workers: Annotated[int, validators.workers] = 8
    state_dir: _Path = DEFAULT_STATE_DIR


class LogTable(NamedTuple):
    """
    `[log]`: what is logged.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class KeysetTable(NamedTuple):
    """
    `[defaults]` and `[keysets.NAME]`: how a keyset is rotated; `well_known` is None if it is not set.
    """

    algorithm: Annotated[Algorithm, validators.algorithm] = Algorithm.RS256
    rsa_bits: Annotated[int, validators.rsa_bits] = MIN_RSA_BITS
    rotation_period: _Duration = timedelta(days=30)
    propagation_time: _Duration = timedelta(hours=2)
    max_token_lifetime: _Duration = timedelta(days=7)
    clock_skew: _Duration = timedelta(minutes=1)
    well_known: Annotated[bool | None, core_schema.bool_schema(strict=True)] = None
    readers: Literal["flat", "keys"] = "flat"
    retain: _Truth = False
    heartbeat: _Truth = False


KEYSETS = "keysets"
TABLES: Mapping[str, type[NamedTuple]] = {
    "store": StoreTable,
    "vault": VaultTable,
    "redis": RedisTable,
    "publish": PublishTable,
    "admin": AdminTable,
    "daemon": DaemonTable,
    "log": LogTable,
    "defaults": KeysetTable,
}
_T = TypeVar("_T", bound=NamedTuple)
_compiled: dict[type[NamedTuple], SchemaValidator] = {}
_TYPES = {
    "bool_type": "must be true or false, without quotes",
    "list_type": 'must be a list of texts, as in ["...", "..."]',
}
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,40}")


def read_table(kind: type[_T], table: str, raw: object) -> tuple[_T, Mapping[str, Any], list[Fault]]:
    """
    Return the table with defaults for missing and invalid options, the valid options that are present, and the faults.

    *table* is its name in the file. Values are never converted: "8" is not a number, 1 is not true. No fault repeats a
    value.
    """
    make: Callable[..., _T] = kind
    if not isinstance(raw, dict):
        return make(), {}, [Fault(table, "", "must be a table")]
    if kind not in _compiled:
        _compiled[kind] = SchemaValidator(_schema(kind))
    try:
        values, details = _compiled[kind].validate_python(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        bad = {detail["loc"][0] for detail in details}
        values = _compiled[kind].validate_python({option: raw[option] for option in raw if option not in bad})
    return make(**values), values, [_fault(kind, table, detail) for detail in details]


def unknown_table(name: str, value: object) -> Fault:
    """
    Return the fault of a table, or of an option outside any table, that is not in the schema.
    """
    if isinstance(value, dict):
        return Fault(safe_name(name), "", f"is an unknown table{_suggestion(name, [*TABLES, KEYSETS])}")
    return Fault("", safe_name(name), f"is an unknown option outside any table{_home(name)}")


def safe_name(name: str) -> str:
    """
    Return *name* for a message; only its length if it may be a misplaced secret.
    """
    return name if _PLAIN.fullmatch(name) else f"(a name of {len(name)} characters)"


def _fault(kind: type[NamedTuple], table: str, detail: "ErrorDetails") -> Fault:
    option, *entry = detail["loc"]
    name, context = str(option), detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            what = f"is an unknown option{_suggestion(name, kind._fields) or _home(name)}"
            return Fault(table, safe_name(name), what)
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
    homes = [f"[{table}]" for table, kind in TABLES.items() if name in kind._fields]
    return f"; it belongs into {' or '.join(homes)}" if homes else "; remove it"


def _schema(kind: type[NamedTuple]) -> "CoreSchema":
    """
    Return the schema of a table: it rejects unknown options and requires none.
    """
    options = {
        option: core_schema.typed_dict_field(_schema_of(annotation), required=False)
        for option, annotation in kind.__annotations__.items()
    }
    return core_schema.typed_dict_schema(options, extra_behavior="forbid")


def _schema_of(annotation: Any) -> "CoreSchema":
    validator: CoreSchema | Callable[[Any], object] | None = getattr(annotation, "__metadata__", (None,))[0]
    if validator is None:
        return core_schema.literal_schema(list(get_args(annotation)))
    return core_schema.no_info_plain_validator_function(validator) if callable(validator) else validator
