from __future__ import annotations

from dataclasses import replace

from appliance.dispatch.served_models import ServedModels
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures, Fleet, ModelRoom

READY = EngineStatus("a", "m", EngineState.READY, "http://a", "", 4096, 8)
ASLEEP = replace(READY, engine_id="b", state=EngineState.ASLEEP, max_model_len=8192, devices=2)
FAILED = replace(READY, engine_id="c", state=EngineState.FAILED, max_num_seqs=100)


def test_a_model_without_engines_has_no_places_and_one_device() -> None:
    served = ServedModels(Fleet())
    assert served.room("m", {}, 3) == ModelRoom(running=0, waiting=3, places=0, devices=1, kv_tokens=None)
    assert served.of("m").context_tokens is None


def test_engines_that_wait_for_their_turn_count_and_broken_ones_only_with_their_calls() -> None:
    fleet = Fleet()
    fleet.publish((READY, ASLEEP, FAILED, replace(READY, engine_id="d", model_id="other")))
    served = ServedModels(fleet)
    assert served.of("m").context_tokens == 8192
    assert served.room("m", {"a": 1, "c": 2, "d": 5}, 0) == ModelRoom(3, 0, 16, 2, None)
    fleet.figures = {"a": EngineFigures(kv_tokens=100)}
    assert served.room("m", {}, 0).kv_tokens is None, "one of two is not known"
    fleet.figures = {"a": EngineFigures(kv_tokens=100), "b": EngineFigures(kv_tokens=50)}
    assert served.room("m", {}, 0).kv_tokens == 150


def test_another_snapshot_is_looked_at_anew() -> None:
    fleet = Fleet()
    fleet.publish((READY,))
    served = ServedModels(fleet)
    assert served.room("m", {}, 0).places == 8
    fleet.publish((READY, ASLEEP))
    assert served.room("m", {}, 0).places == 16
