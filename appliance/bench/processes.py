"""Drives a load from processes of its own, so that nothing else is done on their event loops."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

import uvloop

from appliance.bench.connection import Target
from appliance.bench.dialogue import Dialogues, Phase
from appliance.bench.driver import Driver, Limits, Progress, Share
from appliance.bench.records import RequestRecord
from appliance.errors import NotMeasured

READY_S: Final = 120.0
"""For a process to start and to make its requests ready."""
_AHEAD_S: Final = 0.25
"""All begin together, so long after the last one was ready."""

Watch = Callable[[Progress], str]
"""Hears of the progress of all; what it returns, if anything, is why the run is stopped."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent to whom."""

    target: Target
    phases: tuple[Phase, ...]
    dialogues: Dialogues
    run_id: str = "bench"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of a load. `stopped` says why it was ended before its time; `begins_s` is on the monotonic clock."""

    records: tuple[RequestRecord, ...]
    begins_s: float
    stopped: str = ""


def drive_apart(load: Load, *, processes: int = 1, watch: Watch | None = None) -> Driven:
    """Put a load on a server and wait for its end. Ctrl-C ends it early and keeps what there is.

    Raises NotMeasured where a process of the generator fails.
    """
    context = multiprocessing.get_context("spawn")
    children: list[tuple[SpawnProcess, Pipe]] = []
    try:
        for part in range(processes):
            ours, theirs = context.Pipe()
            child = context.Process(target=_drive, args=(theirs, load, Share(part, processes)), daemon=True)
            child.start()
            theirs.close()
            children.append((child, ours))
        return _Run([pipe for _, pipe in children], watch).whole()
    finally:
        for child, pipe in children:
            pipe.close()
            child.join(5)
            if child.is_alive():
                child.kill()
                child.join()


class _Run:
    """The parent's side of one run."""

    def __init__(self, pipes: Sequence[Pipe], watch: Watch | None) -> None:
        self._pipes, self._watch = pipes, watch
        self._progress = {pipe: Progress() for pipe in pipes}
        self._stopped = ""

    def whole(self) -> Driven:
        for pipe in self._pipes:
            if not pipe.poll(READY_S):
                raise NotMeasured(f"a process of the load generator was not ready within {READY_S:g} s")
            self._heard(pipe)
        begins_s = time.monotonic() + _AHEAD_S
        for pipe in self._pipes:
            pipe.send(begins_s)
        records: list[RequestRecord] = []
        running = set(self._pipes)
        while running:
            try:
                ready = wait(list(running))
                for pipe in [one for one in running if one in ready]:
                    said = self._heard(pipe)
                    if isinstance(said, Progress):
                        self._look(pipe, said)
                    else:
                        records += said
                        running.discard(pipe)
            except KeyboardInterrupt:
                self._stop("interrupted")
        return Driven(tuple(sorted(records, key=lambda record: record.due_s)), begins_s, self._stopped)

    def _heard(self, pipe: Pipe) -> Any:
        try:
            return pipe.recv()
        except (EOFError, OSError):
            raise NotMeasured(
                "a process of the load generator ended before the run; its message stands above"
            ) from None

    def _look(self, pipe: Pipe, progress: Progress) -> None:
        self._progress[pipe] = progress
        if self._watch is not None and (reason := self._watch(_summed(self._progress.values()))):
            self._stop(reason)

    def _stop(self, reason: str) -> None:
        if not self._stopped:
            self._stopped = reason
            for pipe in self._pipes:
                try:
                    pipe.send(reason)
                except OSError:
                    continue  # it has sent its records and is gone


def _summed(parts: Any) -> Progress:
    total = Progress()
    for part in parts:
        total.sent += part.sent
        total.answered += part.answered
        total.failed += part.failed
        total.tokens += part.tokens
    return total


def _drive(pipe: Pipe, load: Load, share: Share) -> None:
    """A child's whole life. The parent hears of Ctrl-C and says when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _more_files()

    def tell(progress: Progress) -> None:
        pipe.send(progress)
        if pipe.poll():
            driver.stop(pipe.recv())

    driver = Driver(
        load.target,
        load.phases,
        load.dialogues,
        run_id=load.run_id,
        share=share,
        limits=load.limits,
        on_progress=tell,
    )
    pipe.send("ready")
    begins_s = pipe.recv()
    # Nothing that a run leaves behind is garbage in circles; a collection would hold everything up.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        records = uvloop.run(driver.run(begins_s))
        pipe.send(records)
    except (BrokenPipeError, asyncio.CancelledError):
        return  # the parent is gone


def _more_files() -> None:
    """As many open connections as the system lets this user have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
