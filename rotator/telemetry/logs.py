"""
Log lines: an event name and fields, rendered once, redacted last, and short enough for the journal.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from rotator.model.times import format_time
from rotator.ports.log import Log
from rotator.telemetry.lines import Lines
from rotator.telemetry.redaction import redact

MAX_FIELD = 8192
MAX_LINE = 48 * 1024
MAX_SHORT = 100
MAX_DEPTH = 8
FIRST = ("timestamp", "level", "event")


def configure(level: str, format: str, stream: TextIO | None = None) -> FilteringBoundLogger:  # noqa: A002 - the option's name
    """
    Return a logger that writes lines of *level* and above to *stream* (standard output), and send `logging` there too.

    *format* is json, console, or auto: console on a terminal, else json. Records of libraries are written from WARNING
    up.
    """
    out = stream or sys.stdout
    tty = out.isatty()
    render = _console(colors=tty) if format == "console" or (format == "auto" and tty) else _json
    finish: list[Processor] = [structlog.processors.format_exc_info, _plain, render, _redacted]
    start: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    lines = Lines(out)
    _route_libraries(lines, start, finish)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        lines,
        processors=[*start, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        context_class=dict,
    ).bind()
    lines.tell = lambda lost: bool(logger.error("lines_lost", lines=lost))
    return logger


def install_hooks(log: Log) -> None:
    """
    Send uncaught exceptions of every thread through *log*, which redacts them; the interpreter would print them.
    """

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            log.info("interrupted")
        else:
            log.error("uncaught_exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit and args.exc_value is not None:
            name = args.thread.name if args.thread else ""
            log.error("thread_died", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_value is not None:
            log.error("unraisable_exception", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable


def _route_libraries(lines: Lines, start: list[Processor], finish: list[Processor]) -> None:
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *start],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False  # else a message that cannot be formatted is printed, arguments and all


def _console(*, colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _plain(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """
    Put FIRST's fields first, make every value JSON, and cut values and lines that are too long.
    """
    fields = {name: _value(event.pop(name)) for name in FIRST if name in event}
    fields |= {name: _value(value) for name, value in event.items()}
    truncated = [name for name, value in fields.items() if len(_text(value)) > MAX_FIELD]
    for name in truncated:
        # Redacted before it is cut: a part of a secret would not be recognised.
        text = redact(_text(fields[name]))
        kept = MAX_FIELD // 2
        fields[name] = f"{text[:kept]} ... {text[-kept:]}" if len(text) > MAX_FIELD else text
    if len(json.dumps(fields)) > MAX_LINE * 3 // 4:
        truncated = [name for name in fields if name not in FIRST]
        fields = {name: redact(_text(fields[name]))[:MAX_SHORT] for name in FIRST if name in fields}
        truncated = [name[:MAX_SHORT] for name in truncated[:100]]
    return fields | ({"truncated": truncated} if truncated else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(value: object, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        return f"({type(value).__name__})"
    match value:
        case str() | int() | float() | None:
            return value
        case bytes() | bytearray() | memoryview():
            return f"({len(value)} bytes)"
        case datetime():
            return format_time(value)
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(name): _value(inner, depth + 1) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_value(inner, depth + 1) for inner in value]
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a value without a repr must not lose the line
        return f"({type(value).__name__})"


def _json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return json.dumps(event)


def _redacted(_logger: WrappedLogger, _name: str, line: Any) -> str:
    """
    Redact a line; the last step, which every line passes.
    """
    return redact(str(line))
