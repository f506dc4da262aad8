from __future__ import annotations

from dataclasses import replace

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import DemandEvent
from appliance.packs.document import Report, Wish
from appliance.packs.sources import FORGET_AFTER_S, Sources

ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://10.0.0.1:8100", "secret", 512, 8)


def told(source: str, waiting: int, in_flight: int = 0) -> Report:
    return Report(source, wishes={"m": Wish(waiting, in_flight)})


def test_what_all_gateways_want_is_added_up() -> None:
    sources = Sources()
    assert sources.heard(told("a", 2, 1), 10.0, mine=True) == (DemandEvent("m", 2, 10.0, 1),)
    assert sources.heard(told("b", 3), 11.0, mine=True) == (DemandEvent("m", 5, 11.0, 1),)
    assert sources.heard(told("a", 0), 12.0, mine=True) == (DemandEvent("m", 3, 12.0, 0),)
    assert sources.heard(Report("b"), 13.0, mine=True) == (DemandEvent("m", 0, 13.0, 0),)


def test_one_that_is_not_heard_of_any_more_wants_nothing_and_leaves_its_places() -> None:
    sources = Sources()
    sources.heard(told("a", 2, 1), 0.0, mine=True)
    sources.seen("b", 0.0)
    assert sources.divide((ENGINE,), 2)
    assert sources.with_shares(ENGINE, "b").max_num_seqs == 4
    sources.seen("b", FORGET_AFTER_S)
    assert sources.forget(FORGET_AFTER_S + 0.1) == (DemandEvent("m", 0, FORGET_AFTER_S + 0.1, 0),)
    assert sources.divide((ENGINE,), 3)
    assert sources.with_shares(ENGINE, "b").max_num_seqs == 8


def test_an_engine_that_comes_later_is_divided_too_and_one_that_goes_is_forgotten() -> None:
    sources = Sources()
    sources.seen("a", 0.0)
    sources.divide((ENGINE,), 2)
    other = replace(ENGINE, engine_id="m-1", max_num_seqs=3)
    assert sources.divide((other,), 3)
    assert sources.with_shares(other, "a").max_num_seqs == 3


def test_confirmed_by_all_or_not() -> None:
    sources = Sources()
    sources.heard(Report("a", version=4), 0.0, mine=True)
    assert sources.confirmed(4)
    sources.heard(Report("b", version=4), 0.0, mine=False)
    assert not sources.confirmed(4)
