from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.dispatch.endpoint_picker import Asleep, NoEngine, Picked, pick
from appliance.domain.engine import EngineState
from tests.coordinator.house import engine

ENGINES = (engine("m", replica=1), engine("m", replica=0), engine("other"), engine("m", replica=2, ready=False))


def picked(outcome: Picked | Asleep | NoEngine) -> tuple[str, float]:
    assert isinstance(outcome, Picked)
    return outcome.engine.engine_id, outcome.score


def test_the_least_loaded_ready_engine_wins_and_ids_break_ties() -> None:
    assert picked(pick("m", ENGINES, {})) == ("m-0", 1.0)
    assert picked(pick("m", ENGINES, {"m-0": 1})) == ("m-1", 1.0)
    assert picked(pick("m", ENGINES, {"m-0": 2, "m-1": 6})) == ("m-0", 0.75)
    assert picked(pick("m", ENGINES, {"m-0": 20, "m-1": 9})) == ("m-0", 0.0)


def test_load_is_relative_to_what_an_engine_can_batch() -> None:
    engines = (engine("m", replica=0, max_num_seqs=2), engine("m", replica=1, max_num_seqs=64))
    assert picked(pick("m", engines, {"m-0": 1, "m-1": 8}))[0] == "m-1"


def test_nobody_fits_and_why() -> None:
    assert pick("x", ENGINES, {}) == NoEngine(("no engine is placed for x",))
    assert pick("m", ENGINES, {}, {"m-0", "m-1"}) == NoEngine(("m-1: just failed", "m-0: just failed", "m-2: failed"))


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        (EngineState.ASLEEP, True),
        (EngineState.WARMING, True),
        (EngineState.DRAINING, True),
        (EngineState.STARTING, False),
        (EngineState.FAILED, False),
        (EngineState.STOPPED, False),
    ],
)
def test_an_engine_that_takes_turns_is_waited_for(state: EngineState, waits: bool) -> None:
    turner = replace(engine("m"), state=state, turn_group="g")
    assert isinstance(pick("m", (turner,), {}), Asleep if waits else NoEngine)
    assert picked(pick("m", (turner, engine("m", replica=1)), {}))[0] == "m-1"
    alone = replace(turner, turn_group="")
    assert isinstance(pick("m", (alone,), {}), Asleep) == (state is EngineState.ASLEEP)
