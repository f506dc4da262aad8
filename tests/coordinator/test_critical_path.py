from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.coordinator.critical_path import calls_after, calls_left
from appliance.coordinator.options import CoordinatorOptions, Roles, Verification
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from tests.coordinator.house import FORK, OPTIONS, asks, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

WRITTEN = replace(OPTIONS, roles=replace(OPTIONS.roles, synthesizer=("generalist",)))


@pytest.mark.parametrize(
    ("role", "tasks_after", "calls"),
    [
        (Role.PLANNER, 0, 5),
        (Role.EXECUTOR, 0, 2),
        (Role.EXECUTOR, 3, 8),
        (Role.VERIFIER, 3, 7),
        (Role.SYNTHESIZER, 0, 0),
        (Role.GENERALIST, 0, 0),
    ],
)
def test_calls_that_follow(role: Role, tasks_after: int, calls: int) -> None:
    assert calls_after(WRITTEN, role, tasks_after) == calls


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, verification=Verification(enabled=False)),
        replace(OPTIONS, roles=Roles(generalist=("generalist",), planner=("planner",))),
    ],
)
def test_without_a_verifier_a_task_is_one_call(options: CoordinatorOptions) -> None:
    assert calls_after(options, Role.EXECUTOR, 3) == 3


def test_calls_until_the_answer() -> None:
    assert (calls_left(WRITTEN, 3), calls_left(OPTIONS, 3), calls_left(OPTIONS, 0)) == (7, 6, 0)


def test_every_call_knows_what_follows_it_and_what_is_left() -> None:
    told: dict[str, tuple[int, int | None]] = {}

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        told[f"{ctx.role.value} {ctx.task_id}"] = ctx.calls_after, ctx.calls_left
        return FORK if ctx.role is Role.PLANNER else sound(call, ctx)

    async def main() -> None:
        built = house(script, options=replace(OPTIONS, early_start=False))
        await events_of(built, asks())
        assert built.dispatcher.open_requests == 0

    run(main())
    assert told == {
        "planner plan": (4, None),
        "executor s1": (3, 6),
        "verifier s1": (2, 6),
        "executor s2": (3, 6),
        "verifier s2": (2, 6),
        "executor s3": (1, 2),
        "verifier s3": (0, 2),
    }
