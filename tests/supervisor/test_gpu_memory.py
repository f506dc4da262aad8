"""Memory of ended engines: what is waited for, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import pytest

from appliance.domain.engine import Device, EngineSpec
from appliance.supervisor.gpu_memory import GpuMemory

GIB = 2**30
A = EngineSpec("a", "a", PurePath("/m"), Device.CUDA, 1, 512, 4, 512, 1 << 20, gpu_ids=("0",))
B = replace(A, engine_id="b")


class Card:
    """GPU 0, as NVML would show it."""

    def __init__(self) -> None:
        self.free: int | None = 80 * GIB
        self.memory = GpuMemory(lambda gpu_id: self.free if gpu_id == "0" else None)

    def take(self, gib: int) -> None:
        assert self.free is not None
        self.free -= gib * GIB

    def start(self, spec: EngineSpec, gib: int) -> None:
        self.memory.starting(spec)
        self.take(gib)
        self.memory.changed(spec)

    def missing_gib(self) -> list[float]:
        return [left.missing_bytes / GIB for left in self.memory.leaving()]


@pytest.mark.parametrize("asked", [True, False], ids=["stopped", "died"])
def test_an_ended_engine_is_waited_for_until_most_of_its_memory_has_left(asked: bool) -> None:
    card = Card()
    card.start(A, 40)
    card.start(B, 20)
    if asked:
        card.memory.changing(A)
    card.memory.ended(A, 7)
    assert card.memory.leaving()[0].since_s == 7
    assert card.missing_gib() == [pytest.approx(36)]
    card.take(-37)
    assert card.missing_gib() == []
    card.memory.ended(B, 9)
    assert card.missing_gib() == [pytest.approx(18)]


def test_memory_that_left_before_the_death_was_seen_is_not_waited_for() -> None:
    card = Card()
    card.start(A, 40)
    card.take(-40)
    card.memory.ended(A, 7)
    assert card.missing_gib() == []


def test_a_start_that_failed_leaves_what_was_before() -> None:
    card = Card()
    card.memory.starting(A)
    card.take(30)
    card.memory.ended(A, 7)
    assert card.missing_gib() == [pytest.approx(29.75)]


def test_sleep_gives_back_and_waking_takes() -> None:
    card = Card()
    card.start(A, 40)
    card.memory.changing(A)
    card.take(-38)
    card.memory.changed(A)
    card.start(B, 30)
    card.memory.ended(A, 7)
    assert card.missing_gib() == [pytest.approx(1.75)]


def test_the_next_start_forgets_what_would_not_leave() -> None:
    card = Card()
    card.start(A, 40)
    card.memory.ended(A, 7)
    card.memory.starting(B)
    assert card.missing_gib() == []


def test_a_gpu_that_says_nothing_holds_nobody_up() -> None:
    card = Card()
    card.free = None
    card.memory.starting(A)
    card.memory.changed(A)
    card.memory.ended(A, 7)
    assert card.missing_gib() == []
    card.free = 80 * GIB
    card.start(A, 40)
    card.memory.ended(A, 8)
    card.free = None
    assert card.missing_gib() == []
