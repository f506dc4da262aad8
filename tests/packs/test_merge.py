from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures
from appliance.packs.document import PackDocument
from appliance.packs.merge import SILENT, Heard, merged

ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://10.0.0.1:8100", "secret", 512, 8, turn_group="g")


def document(pack: str, *engines: EngineStatus) -> PackDocument:
    return PackDocument(pack, "i", 1, engines, {engine.engine_id: EngineFigures(kv_tokens=7) for engine in engines})


def test_engines_are_named_after_their_pack_and_keep_where_they_live() -> None:
    both = merged({"http://b": Heard(document("b", ENGINE)), "http://a": Heard(document("a", ENGINE))})
    assert [engine.engine_id for engine in both.engines] == ["a/m-0", "b/m-0"]
    assert [engine.turn_group for engine in both.engines] == ["a/g", "b/g"]
    assert both.homes == {"a/m-0": ("http://a", "m-0"), "b/m-0": ("http://b", "m-0")}
    assert both.figures is not None
    assert both.figures["b/m-0"].kv_tokens == 7


def test_within_one_house_names_stay() -> None:
    alone = merged({"http://a": Heard(document("a", ENGINE))}, named=False)
    assert alone.engines == (ENGINE,)


def test_a_silent_pack_has_no_engine_that_takes_calls() -> None:
    starting = replace(ENGINE, engine_id="m-1", state=EngineState.STARTING)
    asleep = replace(ENGINE, engine_id="m-2", state=EngineState.ASLEEP)
    found = merged({"http://a": Heard(document("a", ENGINE, starting, asleep), silent=True)}).engines
    assert [engine.state for engine in found] == [EngineState.FAILED, EngineState.STARTING, EngineState.FAILED]
    assert found[0].detail == SILENT


@given(st.dictionaries(st.sampled_from("xyz"), st.tuples(st.sampled_from(["p", "q"]), st.integers(0, 3))))
def test_ids_are_unique_whatever_packs_call_themselves(packs: dict[str, tuple[str, int]]) -> None:
    heard = {
        f"http://{address}": Heard(document(name, *(replace(ENGINE, engine_id=f"m-{n}") for n in range(count))))
        for address, (name, count) in packs.items()
    }
    found = merged(heard)
    assert len({engine.engine_id for engine in found.engines}) == sum(count for _, count in packs.values())
    assert len(found.homes or {}) == len(found.engines)
