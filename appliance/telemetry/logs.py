"""Structured JSON logs: one object per line, with the request id, never a prompt, an answer or a key."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import structlog

EventDict = MutableMapping[str, Any]

REDACTED = "[redacted]"

_SECRET_KEYS = frozenset(
    {"answer", "arguments", "body", "completion", "content", "instruction", "messages", "prompt", "question"}
    | {"reasoning", "result", "text", "api_key", "authorization", "cookie", "headers", "key", "password", "secret"}
)
_SECRET_VALUE = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{8,}|[Bb]earer\s+\S+)")
_ROTATE_BYTES = 20_000_000
_MOST_LINES = 500
_LINES = "ready_lines"
"""Attribute of a record that brings whole lines."""


def configure(*, file: Path | None = None, level: str = "INFO") -> None:
    """Send structlog's and the standard library's records to `file`, or to stderr, as JSON lines."""
    if file is None:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=_ROTATE_BYTES, backupCount=3, encoding="utf-8")
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=_shared_processors(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, _render],
        )
    )
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Drop what may hold a prompt, an answer or a key; the last processor before rendering."""
    return {key: _redacted(key, value) for key, value in event.items()}


def without_message(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by type and frames: an exception's message may quote what the caller sent."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, BaseException):
        found = (type(found), found, found.__traceback__)
    if isinstance(found, tuple) and found[0] is not None:
        event["exception"] = found[0].__name__
        event["frames"] = _frames(found[2])
    return event


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_message,
    ]


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames


def _redacted(key: str, value: Any) -> Any:
    if key.lower() in _SECRET_KEYS:
        return REDACTED
    if isinstance(value, str):
        return _SECRET_VALUE.sub(REDACTED, value)
    if isinstance(value, dict):
        return {inner: _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


def _render(_logger: object, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=repr).decode()


class RequestLines:
    """The access log of the fast path: lines in the form of all others, formatted cheaply and written together.

    A line through structlog costs as much as the rest of what the fast path does for a request.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._known = f'"level":"info","logger":"{name}"'
        self._waiting: list[tuple[float, str]] = []

    def add(self, unix_s: float, facts: str) -> None:
        """One line. `facts` are its members as JSON, and hold nothing that `redact` would have to look for."""
        self._waiting.append((unix_s, facts))
        if len(self._waiting) >= _MOST_LINES:
            self.write()

    def write(self) -> None:
        """All that wait, as one record."""
        waiting, self._waiting = self._waiting, []
        if not waiting or not self._logger.isEnabledFor(logging.INFO):
            return
        known = self._known
        lines = [
            f'{{"event":"request",{facts},{known},"timestamp":"{_second(int(at_s))}.{int(at_s % 1 * 1e6):06d}Z"}}'
            for at_s, facts in waiting
        ]
        self._logger.info("%d requests", len(lines), extra={_LINES: lines})


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Lines that are ready go out as they are."""

    def format(self, record: logging.LogRecord) -> str:
        lines = record.__dict__.get(_LINES)
        return super().format(record) if lines is None else "\n".join(lines)


@lru_cache(maxsize=16)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
