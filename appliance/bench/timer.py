"""A timer that wakes an event loop within some 50 µs: event loops' own ones count in whole milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_ABSOLUTE: Final = 1
_NONBLOCK: Final = os.O_NONBLOCK
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_LEAST_S: Final = 1e-9
"""A time of zero would stop the timer."""


class _Times(ctypes.Structure):
    """`struct itimerspec` of Linux: interval, then value, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """Calls `on_time` at the time of `time.monotonic()` that was set last; a context.

    On Linux it is a `timerfd` that the loop watches as any other descriptor; elsewhere the loop's own timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
        self._loop, self._on_time = loop, on_time
        self._handle: asyncio.TimerHandle | None = None
        self._file: int | None = None
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK | _CLOEXEC)
            if file >= 0:
                self._file = file
                loop.add_reader(file, self._fired)

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_reason: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None

    def set(self, at_s: float) -> None:
        """The next time; it replaces the one before. A time that is past is now."""
        if self._file is None:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_later(max(0.0, at_s - time.monotonic()), self._on_time)
            return
        nanoseconds = max(1, int(max(at_s, _LEAST_S) * 1e9))
        times = _Times(0, 0, *divmod(nanoseconds, 1_000_000_000))
        self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(times), None)

    def _fired(self) -> None:
        if self._file is not None:
            with suppress(BlockingIOError):
                os.read(self._file, 8)
            self._on_time()
