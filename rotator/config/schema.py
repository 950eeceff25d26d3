"""
The tables of the configuration file: every option with its type, shape and default, and what is wrong with a value.

pydantic's engine is used without its models: their import alone would take a command as long as reaching Vault does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic_core import SchemaValidator, ValidationError, core_schema

from rotator.config import validators as shapes
from rotator.config.rules import Fault
from rotator.model.algorithms import Algorithm
from rotator.model.times import parse_duration

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ErrorDetails

_Truth = Annotated[bool, core_schema.bool_schema(strict=True)]
_Duration = Annotated[timedelta, parse_duration]
_Path = Annotated[str, shapes.file_path]
_OptionalPath = Annotated[str, shapes.optional_path]
_VaultPath = Annotated[str, shapes.vault_path]
_Listen = Annotated[str, shapes.listen_address]
_VERIFY_URLS = core_schema.list_schema(core_schema.no_info_plain_validator_function(shapes.verify_url), strict=True)


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

    address: Annotated[str, shapes.vault_address] = "https://127.0.0.1:8200"
    mount: _VaultPath = "secret"
    prefix: _VaultPath = "rotator"
    namespace: Annotated[str, shapes.namespace] = ""
    ca_file: _OptionalPath = ""
    auth: Literal["approle", "token"] = "approle"
    role_id_file: _Path = "role_id"
    secret_id_file: _Path = "secret_id"  # noqa: S105 - the name of a file
    token_file: _Path = "vault_token"  # noqa: S105 - the name of a file


class RedisTable(NamedTuple):
    """
    `[redis]`: where changes are announced; without the table they are not.
    """

    url: Annotated[str, shapes.redis_url] = "redis://127.0.0.1:6379/0"
    channel: Annotated[str, shapes.channel] = "rotator:events"
    username: Annotated[str, shapes.username] = ""
    password_file: _OptionalPath = ""
    ca_file: _OptionalPath = ""


class PublishTable(NamedTuple):
    """
    `[publish]`: where verifiers find the JWKS.
    """

    vault: _Truth = True
    file: Annotated[str, shapes.jwks_path] = "/var/lib/rotator/public/jwks.json"
    http: _Listen = "127.0.0.1:8471"
    verify_urls: Annotated[Sequence[str], _VERIFY_URLS] = ()


class AdminTable(NamedTuple):
    """
    `[admin]`: health, metrics and the status page.
    """

    http: _Listen = "127.0.0.1:8472"


class DaemonTable(NamedTuple):
    """
    `[daemon]`: how `rotator run` works.
    """

    poll_interval: Annotated[timedelta | None, shapes.poll_interval] = None
    workers: Annotated[int, shapes.workers] = 8
    state_dir: _Path = "/var/lib/rotator"


class LogTable(NamedTuple):
    """
    `[log]`: what is logged.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class KeysetTable(NamedTuple):
    """
    `[defaults]` and `[keysets.NAME]`: how a keyset is rotated; `well_known` is None where nothing is said.
    """

    algorithm: Annotated[Algorithm, shapes.algorithm] = Algorithm.RS256
    rsa_bits: Annotated[int, shapes.rsa_bits] = 2048
    rotation_period: _Duration = timedelta(days=30)
    propagation_time: _Duration = timedelta(hours=2)
    max_token_lifetime: _Duration = timedelta(days=7)
    clock_skew: _Duration = timedelta(minutes=1)
    well_known: Annotated[bool | None, core_schema.bool_schema(strict=True)] = None
    readers: Literal["flat", "keys"] = "flat"
    retain: _Truth = False


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
_validators: dict[type[NamedTuple], SchemaValidator] = {}
_TYPES = {
    "bool_type": "must be true or false, without quotes",
    "list_type": 'must be a list of texts, as in ["...", "..."]',
}
_TAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def read_table(kind: type[_T], table: str, raw: object) -> tuple[_T, Mapping[str, Any], list[Fault]]:
    """
    Return the table with defaults for what is missing or wrong, the values that are there and sound, and what is wrong.

    *table* is its name in the file. Nothing is converted: "8" is no number, 1 is not true. No fault repeats a value.
    """
    make: Callable[..., _T] = kind
    if not isinstance(raw, dict):
        return make(), {}, [Fault(table, "", "must be a table")]
    if kind not in _validators:
        _validators[kind] = SchemaValidator(_schema(kind))
    try:
        values, details = _validators[kind].validate_python(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        bad = {detail["loc"][0] for detail in details}
        values = _validators[kind].validate_python({option: raw[option] for option in raw if option not in bad})
    return make(**values), values, [_fault(kind, table, detail) for detail in details]


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


def _fault(kind: type[NamedTuple], table: str, detail: "ErrorDetails") -> Fault:
    option, *entry = detail["loc"]
    name, context = str(option), detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            what = f"is an unknown option{_suggestion(name, kind._fields) or _home(name)}"
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
    homes = [f"[{table}]" for table, kind in TABLES.items() if name in kind._fields]
    return f"; it belongs into {' or '.join(homes)}" if homes else "; remove it"


def _schema(kind: type[NamedTuple]) -> "CoreSchema":
    """
    Return the schema of a table: unknown options are refused, none is required.
    """
    options = {
        option: core_schema.typed_dict_field(_schema_of(annotation), required=False)
        for option, annotation in kind.__annotations__.items()
    }
    return core_schema.typed_dict_schema(options, extra_behavior="forbid")


def _schema_of(annotation: Any) -> "CoreSchema":
    shape: CoreSchema | Callable[[Any], object] | None = getattr(annotation, "__metadata__", (None,))[0]
    if shape is None:
        return core_schema.literal_schema(list(get_args(annotation)))
    return core_schema.no_info_plain_validator_function(shape) if callable(shape) else shape
