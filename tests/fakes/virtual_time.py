"""An event loop whose clock jumps to the next timer when nothing else is to do: hours pass in microseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STUCK_AFTER_S = 5.0


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: tells how long it would have slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is not None:
            self.slept_s += timeout
            return events
        events = super().select(_STUCK_AFTER_S)
        if not events:
            raise RuntimeError("every task waits and no timer is set")
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, which begins at 1000 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.slept_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on virtual time; fails when the coroutine leaves a task behind."""

    async def checked() -> T:
        result = await main
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left}"
        return result

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(checked())
