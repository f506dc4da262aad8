"""The ways in which engines, models, clocks and callers fail, alone and together, each drawn anew from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.fakes.answers import Answer, Fault, FaultKind, Script

ROLES = {"planner": "planner", "executor": "math", "verifier": "verifier", "writer": "writer", "single": "generalist"}
"""Who is hit → the model that plays the role."""

_LASTING = {FaultKind.HANG, FaultKind.SLOW}
"""Ended by the deadline only."""


class Event(Enum):
    """What happens to a request besides."""

    ENGINE_KILLED = auto()
    CALLER_LEAVES = auto()
    CLOCK_FORWARD = auto()
    CLOCK_BACK = auto()


@dataclass(frozen=True, slots=True)
class Case:
    """One combination. `draw` makes the faults of one request by model, `scripts` stand in for sound models.

    `lasts`: nothing but the deadline ends it, which is short then. `answered`: one model can still answer, so the
    caller must not see an error. `visible`: the trace tells of it.
    """

    name: str
    draw: Callable[[random.Random], Mapping[str, Fault]] = lambda _: {}
    scripts: Mapping[str, Script] = field(default_factory=dict)
    event: Event | None = None
    victim: str = ""
    lasts: bool = False
    answered: bool = True
    visible: bool = True


def cases() -> list[Case]:
    """All combinations."""
    return [*_one_fault(), *_refusals(), *_two_faults(), *_foolish_models(), *_events()]


def _one_fault() -> list[Case]:
    kinds = [kind for kind in FaultKind if kind is not FaultKind.HTTP]
    return [
        Case(
            f"{kind.value}-{who}",
            _drawn(kind, model),
            lasts=kind in _LASTING,
            visible=(kind, who) != (FaultKind.ENDLESS, "single"),  # a long answer is an answer
        )
        for kind in kinds
        for who, model in ROLES.items()
    ]


def _refusals() -> list[Case]:
    said = {429: "too many requests", 500: "internal error", 503: "CUDA out of memory. Tried to allocate 2.00 GiB"}
    return [
        Case(f"{status}-{who}", _refused(status, message, model))
        for status, message in said.items()
        for who, model in ROLES.items()
    ]


def _two_faults() -> list[Case]:
    pairs = [
        ("planner", FaultKind.TRUNCATED, "generalist", FaultKind.RESET),
        ("math", FaultKind.WRONG_JSON, "math-2", FaultKind.EMPTY),
        ("math", FaultKind.RESET, "verifier", FaultKind.ERROR_EVENT),
        ("verifier", FaultKind.ENDLESS, "writer", FaultKind.TRUNCATED),
        ("planner", FaultKind.HANG, "generalist", FaultKind.HANG),
        ("math", FaultKind.HANG, "math-2", FaultKind.HANG),
    ]

    def both(a: str, first: FaultKind, b: str, second: FaultKind) -> Case:
        def draw(rng: random.Random) -> Mapping[str, Fault]:
            return {**_drawn(first, a)(rng), **_drawn(second, b)(rng)}

        lasting = first in _LASTING or second in _LASTING
        answered = not {a, b} >= {"planner", "generalist"}
        return Case(f"{first.value}-{a}+{second.value}-{b}", draw, lasts=lasting, answered=answered)

    return [both(*pair) for pair in pairs]


def _foolish_models() -> list[Case]:
    bomb = json.dumps({"steps": [{"id": f"s{n}", "skill": "math", "do": "1+1"} for n in range(10_000)]})
    circle = '{"steps": [{"id": "s1", "skill": "math", "do": "$s2+1"}, {"id": "s2", "skill": "math", "do": "$s1+1"}]}'
    plans = {
        "no-json": "I would first multiply, then subtract.",
        "other-schema": '{"tasks": ["12*7", "84-5"]}',
        "unknown-skill": '{"steps": [{"id": "s1", "skill": "magic", "do": "12*7"}]}',
        "circle": circle,
        "bomb": bomb,
        "deep": "[" * 5_000,
        "number": '{"steps": ' + "9" * 5_000 + "}",
        "half": '{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "sk',
    }
    never = Answer("w;fail", logprobs={"fail": -0.01}, alternatives={"fail": {"pass": -6.0}})
    others: dict[str, Mapping[str, Script]] = {
        "verifier-always-fails": {"verifier": {"*": never}},
        "verifier-talks": {"verifier": {"*": "well, it depends"}},
        "executor-talks": {"math": {"*": "x" * 3_000}, "math-2": {"*": "no idea"}},
        "executor-says-nothing": {"math": {"*": ""}, "math-2": {"*": ""}},
        "writer-says-nothing": {"writer": {"*": ""}},
    }
    return [
        *(Case(f"plan-{name}", scripts={"planner": {"*": Answer(text, (text,))}}) for name, text in plans.items()),
        *(Case(name, scripts=scripts) for name, scripts in others.items()),
    ]


def _events() -> list[Case]:
    killed = [
        Case(f"killed-{who}", event=Event.ENGINE_KILLED, victim=model, answered=who != "single")
        for who, model in ROLES.items()
    ]
    return [
        *killed,
        Case("caller-leaves", event=Event.CALLER_LEAVES, answered=False),
        Case("caller-leaves-a-hung-team", _drawn(FaultKind.HANG, "math"), event=Event.CALLER_LEAVES, answered=False),
        Case("clock-forward", event=Event.CLOCK_FORWARD, answered=False),
        Case("clock-back", event=Event.CLOCK_BACK, answered=False),
    ]


def _drawn(kind: FaultKind, model: str) -> Callable[[random.Random], Mapping[str, Fault]]:
    def draw(rng: random.Random) -> Mapping[str, Fault]:
        times = None if kind in _LASTING else rng.choice((1, 2, None))
        return {model: Fault(kind, times, after_tokens=rng.randrange(4), delay_s=0.2)}

    return draw


def _refused(status: int, message: str, model: str) -> Callable[[random.Random], Mapping[str, Fault]]:
    def draw(rng: random.Random) -> Mapping[str, Fault]:
        return {model: Fault(FaultKind.HTTP, rng.choice((1, 2, None)), status=status, message=message)}

    return draw
