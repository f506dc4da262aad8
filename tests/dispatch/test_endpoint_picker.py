from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.endpoint_picker import Asleep, Broken, NoEngine, Picked, PickWeights, Sight, free_share, pick
from appliance.dispatch.prefix import at_home
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures
from tests.coordinator.house import engine

ENGINES = (engine("m", replica=1), engine("m", replica=0), engine("m", replica=2, ready=False))
SLOTS_ONLY = PickWeights(slots=1, kv=0, prefix=0, health=0)


def find(
    engines: Sequence[EngineStatus],
    in_flight: Mapping[str, int],
    excluded: Set[str] = frozenset(),
    weights: PickWeights = SLOTS_ONLY,
) -> Picked | Asleep | NoEngine:
    return pick("m", engines, Sight(in_flight), excluded, weights)


def picked(outcome: Picked | Asleep | NoEngine) -> tuple[str, float]:
    assert isinstance(outcome, Picked)
    return outcome.engine.engine_id, outcome.free_share


def test_the_least_loaded_ready_engine_wins_and_ids_break_ties() -> None:
    assert picked(find(ENGINES, {})) == ("m-0", 1.0)
    assert picked(find(ENGINES, {"m-0": 1})) == ("m-1", 1.0)
    assert picked(find(ENGINES, {"m-0": 2, "m-1": 6})) == ("m-0", 0.75)
    assert picked(find(ENGINES, {"m-0": 20, "m-1": 9})) == ("m-0", 0.0)


def test_load_is_relative_to_what_an_engine_can_batch() -> None:
    engines = (engine("m", replica=0, max_num_seqs=2), engine("m", replica=1, max_num_seqs=64))
    assert picked(find(engines, {"m-0": 1, "m-1": 8}))[0] == "m-1"


def test_nobody_fits_and_why() -> None:
    assert pick("x", (), Sight({})) == NoEngine(("no engine is placed for x",))
    assert find(ENGINES, {}, {"m-0", "m-1"}) == NoEngine(("m-1: just failed", "m-0: just failed", "m-2: failed"))


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
    assert isinstance(find((turner,), {}), Asleep if waits else NoEngine)
    assert picked(find((turner, engine("m", replica=1)), {}))[0] == "m-1"
    alone = replace(turner, turn_group="")
    assert isinstance(find((alone,), {}), Asleep) == (state is EngineState.ASLEEP)


def test_a_broken_engine_is_left_alone_and_said_so() -> None:
    broken = {"m-0": Broken(5, "its last 5 calls failed; tried again in 0.4 s", busy=True)}
    assert picked(pick("m", ENGINES, Sight({"m-1": 7}, broken=broken)))[0] == "m-1"
    alone = pick("m", ENGINES[1:2], Sight({}, broken=broken))
    assert alone == NoEngine(("m-0: its last 5 calls failed; tried again in 0.4 s",))


def test_while_a_call_is_on_trial_others_wait_or_go_elsewhere() -> None:
    sight = Sight({}, broken={"m-0": Broken(5, busy=True)})
    assert picked(pick("m", ENGINES[1:2], sight)) == ("m-0", 0.0)
    assert picked(pick("m", ENGINES, sight))[0] == "m-1"


def test_of_equal_ones_the_engine_that_failed_less_is_taken() -> None:
    assert picked(pick("m", ENGINES, Sight({}, broken={"m-0": Broken(1)})))[0] == "m-1"


def test_a_full_kv_cache_weighs_and_an_unknown_one_counts_as_the_batch_does() -> None:
    figures = {"m-0": EngineFigures(kv_used_share=0.9), "m-1": EngineFigures(kv_used_share=0.1)}
    assert picked(pick("m", ENGINES, Sight({}, figures)))[0] == "m-1"
    outcome = pick("m", ENGINES, Sight({"m-1": 4}), excluded={"m-0"})
    assert isinstance(outcome, Picked)
    assert outcome.free_share == 0.5
    assert outcome.score == pytest.approx((4 * 0.5 + 2 * 0.5 + 3 + 1) / 10)


def test_a_conversation_stays_at_home_until_that_is_much_fuller_than_the_next_engine() -> None:
    prefix = 7
    home = max(at_home(prefix, ["m-0", "m-1"]).items(), key=lambda entry: entry[1])[0]
    chosen = [picked(pick("m", ENGINES, Sight({home: calls}, prefix=prefix)))[0] == home for calls in range(9)]
    # Three parts of ten for being at home, half of them for the next in line: worth a quarter of a batch.
    assert chosen == [True, True, False, False, False, False, False, False, False]


def test_a_full_home_is_no_home() -> None:
    weights = PickWeights(slots=0, kv=0, prefix=1, health=0)
    home = max(at_home(7, ["m-0", "m-1"]).items(), key=lambda entry: entry[1])[0]
    assert picked(pick("m", ENGINES, Sight({home: 8}, prefix=7), weights=weights))[0] != home


@given(
    st.dictionaries(st.sampled_from(["m-0", "m-1", "m-2", "m-3"]), st.integers(0, 12)),
    st.dictionaries(st.sampled_from(["m-0", "m-1", "m-2", "m-3"]), st.floats(0, 1)),
    st.dictionaries(
        st.sampled_from(["m-0", "m-1", "m-2", "m-3"]),
        st.builds(Broken, st.integers(1, 9), st.sampled_from(["", "closed"]), st.booleans()),
    ),
    st.none() | st.integers(0, 2**64 - 1),
    st.tuples(*[st.floats(0, 5)] * 4),
    st.permutations(range(4)),
)
def test_whatever_is_known_the_pick_is_fit_scored_within_one_and_independent_of_the_order(
    in_flight: dict[str, int],
    kv: dict[str, float],
    broken: dict[str, Broken],
    prefix: int | None,
    weights: tuple[float, float, float, float],
    order: list[int],
) -> None:
    engines = [engine("m", replica=number) for number in range(4)]
    figures = {name: EngineFigures(kv_used_share=used) for name, used in kv.items()}
    sight = Sight(in_flight, figures, broken, prefix)
    outcome = pick("m", engines, sight, weights=PickWeights(*weights))
    assert outcome == pick("m", [engines[number] for number in order], sight, weights=PickWeights(*weights)) or (
        isinstance(outcome, NoEngine)
    )
    fit = [e for e in engines if not (e.engine_id in broken and broken[e.engine_id].closed_to)]
    if not isinstance(outcome, Picked):
        assert not fit
        return
    assert outcome.engine in fit
    assert 0 <= outcome.score <= 1 + 1e-9
    assert outcome.free_share == free_share(outcome.engine, sight)
    assert outcome.free_share > 0 or all(free_share(e, sight) == 0 for e in fit)
